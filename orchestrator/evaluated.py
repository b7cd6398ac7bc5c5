"""What a table of scores must say of evaluated models, and which of them it can't hold."""

from orchestrator.score_table import ScoreTable, with_source


def one_model_a_cell(table: ScoreTable) -> tuple[ScoreTable, list[str]]:
    """Leave out the methods that score a cell by several models: no row of a table can hold two.

    Returns what is kept, and a line for each method that is left out.
    """
    keys = ["method", "cell", "protocol"]
    found = with_source(table, keys)[[*keys, "source"]].drop_duplicates()
    several = found[found.duplicated(keys, keep=False)]
    notes = [
        f"{method}: several models on {part['cell'].nunique()} cells; --by model shows them, "
        "--trial with the beginning of an id keeps some"
        for method, part in several.groupby("method", observed=True)
    ]
    return table.where(~table.vertices["method"].isin(several["method"].unique())), notes


def seen_notes(table: ScoreTable) -> list[str]:
    """Say for each method how many test images its trunks were trained on, where there are any."""
    columns = ["method", "trial_id", "cell", "n_seen", "n_dropped"]
    found = table.vertices[columns].drop_duplicates(columns[:3])
    seen = found[found["n_seen"] > 0]
    notes = []
    for method, part in seen.groupby("method", observed=True):
        n_scored = int((found["method"] == method).sum())
        if (part["n_dropped"] > 0).all():
            what = "these r leave them out, and are measured on fewer images than others"
        else:
            what = "these r leak; orchestrator.evaluate --drop-seen measures without them"
        notes.append(
            f"{method}: on {len(part)} of {n_scored} cells the trunk was trained on test images "
            f"of the subject, at most {part['n_seen'].max()}; {what}"
        )
    return notes
