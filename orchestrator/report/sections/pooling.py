"""Pooled models against single-subject ones, ROI by ROI."""

import pandas as pd
import pyarrow as pa

from orchestrator.report.sections.plots import scatter
from orchestrator.report.sections.section import Column, Picture, Section

COLUMNS = (
    Column("method", "method"),
    Column("subject", "subject"),
    Column("hemisphere", "hemisphere"),
    Column("roi", "ROI"),
    Column("r", "pooled r", "r"),
    Column("r_single", "single-subject r", "r"),
    Column("r_cross_subject", "cross-subject r", "r"),
    Column("r_untuned", "untuned r", "r"),
    Column("n_vertices", "vertices", "count"),
    Column("n_pooled", "pooled subjects", "count"),
    Column("protocol", "protocol"),
)
AGAINST = (("r_single", "single-subject"), ("r_cross_subject", "cross-subject, mean"))


def section(table: pa.Table) -> Section:
    """Show pooled r against single-subject and cross-subject r, of the first protocol."""
    rows = table.to_pandas()
    first = rows[rows["protocol"] == rows["protocol"].iloc[0]]
    return Section(
        name="pooling",
        title="Pooled models",
        reading=_read(first),
        figures=tuple(
            _picture(first.dropna(subset=[column]), column, label)
            for column, label in AGAINST
            if first[column].notna().any()
        ),
        table=rows,
        columns=COLUMNS,
    )


def _read(rows: pd.DataFrame) -> str:
    paired = rows.dropna(subset=["r_single"])
    if paired.empty:
        return f"{len(rows)} ROIs have a pooled score, and none a single-subject model to compare."
    gain = paired["r"] - paired["r_single"]
    return (
        f"Pooled models predict better than the ROI's own model in {int((gain > 0).sum())} of "
        f"{len(paired)} ROIs, by {gain.mean():+.3f} in mean r on average."
    )


def _picture(rows: pd.DataFrame, column: str, label: str) -> Picture:
    return Picture(
        scatter(rows, (column, f"mean r, {label}"), ("r", "mean r, pooled"), diagonal=True),
        alt=f"Scatter of pooled against {label} mean r over {len(rows)} ROIs; "
        f"{int((rows['r'] > rows[column]).sum())} lie above the diagonal.",
        caption=f"One point per ROI (n = {len(rows)}), mean Pearson r over its vertices, protocol "
        f"{rows['protocol'].iloc[0]}; above the line, pooling is better.",
    )
