"""Notes under a table of scores: which models were trained on test images."""

from orchestrator.cli.text import count
from orchestrator.scores.score_table import ScoreTable


def overlap_notes(table: ScoreTable) -> list[str]:
    """Describe which methods' backbones were trained on test images of the scored subjects."""
    columns = ["method", "trial_id", "roi_id", "n_overlap", "n_excluded"]
    found = table.segments[columns].drop_duplicates(columns[:3])
    overlapping = found[found["n_overlap"] > 0]
    leaking: list[str] = []
    dropped: list[str] = []
    for method, part in overlapping.groupby("method", observed=True):
        scored = found[found["method"] == method]
        several = scored["roi_id"].duplicated().any()
        places = "pairs of a model and an ROI" if several else "ROIs"
        most = count(int(part["n_overlap"].max()), "image")
        note = f"{method} (on {len(part)} of {len(scored)} {places}, at most {most})"
        (dropped if (part["n_excluded"] > 0).all() else leaking).append(note)
    notes = []
    if leaking:
        notes.append(
            f"trained on test images of the subject: {', '.join(leaking)}; these r leak, and "
            "orchestrator.evaluate --exclude-training-images scores without these images"
        )
    if dropped:
        notes.append(
            f"overlapping test images are excluded, so r is over fewer images: {', '.join(dropped)}"
        )
    return notes
