"""What a table of scores must say of evaluated models, and which of them it can't hold."""

from orchestrator.scores.score_table import ScoreTable


def seen_notes(table: ScoreTable) -> list[str]:
    """Say which methods' trunks were trained on test images of the subjects they are scored on."""
    columns = ["method", "trial_id", "cell", "n_seen", "n_dropped"]
    found = table.vertices[columns].drop_duplicates(columns[:3])
    seen = found[found["n_seen"] > 0]
    leaking: list[str] = []
    dropped: list[str] = []
    for method, part in seen.groupby("method", observed=True):
        n_scored = int((found["method"] == method).sum())
        told = f"{method} (on {len(part)} of {n_scored} cells, at most {part['n_seen'].max()})"
        (dropped if (part["n_dropped"] > 0).all() else leaking).append(told)
    notes = []
    if leaking:
        notes.append(
            f"trained on test images of the subject: {', '.join(leaking)}; these r leak, and "
            "orchestrator.evaluate --drop-seen measures without these images"
        )
    if dropped:
        notes.append(f"seen test images left out, so r is of fewer images: {', '.join(dropped)}")
    return notes
