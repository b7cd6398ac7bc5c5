"""The table of unique and shared variance for the terminal."""

import pyarrow as pa
from rich.table import Table

from orchestrator.cli.text import as_difference, as_r, new_table
from orchestrator.scores.display.interval_notes import describe_intervals
from orchestrator.scores.display.style import SettingColumns
from orchestrator.scores.statistics.hierarchical_interval import Uncertainty


def variance_table(table: pa.Table) -> Table:
    """Tabulate the analysis ``variance``: R² of sets of features, and what is unique to each."""
    rows = table.to_pylist()
    columns = SettingColumns.of([row["method"] for row in rows])
    known = [
        Uncertainty(row["shared_high"] - row["shared"], row["covers_subjects"], row["covers_seeds"])
        for row in rows
    ]
    shown = new_table(
        f"Variance explained, protocol {', '.join(dict.fromkeys(r['protocol'] for r in rows))}",
        "R² on test images of ridge regression on all layers. +tuned: what tuned features add to "
        "untuned ones; +untuned: what these add to tuned ones; either may be below 0. "
        f"{describe_intervals(known)}{columns.note}",
    )
    shown.add_column("group", overflow="fold")
    columns.add_to(shown)
    for head in ("untuned", "tuned", "+tuned", "95% interval", "+untuned"):
        shown.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        interval = (as_difference(row[f"unique_tuned_{end}"]) for end in ("low", "high"))
        shown.add_row(
            row["row"],
            *columns.cells(row["method"]),
            *(as_r(row[f"r2_{name}"]) for name in ("untuned", "tuned")),
            as_difference(row["unique_tuned"]),
            " ".join(interval),
            as_difference(row["unique_untuned"]),
        )
    return shown
