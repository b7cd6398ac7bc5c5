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
    columns = ["method", "trial_id", "cell", "n_seen", "n_dropped", "n_test"]
    found = table.vertices[columns].drop_duplicates(columns[:3])
    notes = []
    for method, part in found[found["n_seen"] > 0].groupby("method", observed=True):
        n_pairs = (found["method"] == method).sum()
        told = f"{method}: on {len(part)} of {n_pairs} cells, its trunk was trained on test images"
        most = f"at most {part['n_seen'].max()}"
        if (part["n_dropped"] > 0).all():
            notes.append(f"{told} ({most}), which r leaves out: it is measured on fewer images")
        else:
            notes.append(
                f"{told} ({most}): these r leak; evaluate with --drop-seen leaves them out"
            )
    return notes
