"""Pooled models against single-subject ones, ROI by ROI."""

from collections.abc import Iterator

import pandas as pd
import pyarrow as pa

from orchestrator.cli.text import count
from orchestrator.report.sections.plots import scatter
from orchestrator.report.sections.section import Column, Picture, Section, of_each
from orchestrator.scores.rows import subject_weights

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
    """Show pooled r against single-subject and cross-subject r, of the first protocol.

    Where a setting is compared with several of one subject's models, its label names these too.
    """
    rows = _named(table.to_pandas())
    first = rows[rows["protocol"] == rows["protocol"].iloc[0]]
    return Section(
        name="pooling",
        title="Pooled models",
        reading=tuple(_read(first)),
        figures=tuple(
            _picture(first.dropna(subset=[column]), column, label)
            for column, label in AGAINST
            if first[column].notna().any()
        ),
        table=rows,
        columns=COLUMNS,
    )


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the compared setting to the method, where there are several of them."""
    if rows.groupby("method")["reference"].nunique().max() < 2:
        return rows
    return rows.assign(method=rows["method"] + " against " + rows["reference"].fillna("none"))


def _read(rows: pd.DataFrame) -> Iterator[str]:
    """Compare pooled with single-subject models, one sentence per method and group."""
    for label, part in of_each(rows, ("method", "dataset", "group")):
        paired = part.dropna(subset=["r_single"])
        n = count(len(paired), "ROI")
        if paired.empty:
            n = count(len(part), "ROI")
            yield f"{label}: {n} with a pooled score, none with a model of its own to compare."
            continue
        gain = paired["r"] - paired["r_single"]
        mean = float(
            gain @ subject_weights(list(zip(paired["dataset"], paired["subject"], strict=True)))
        )
        yield (
            f"{label}: pooled models have a higher mean r than the ROI's own model in "
            f"{int((gain > 0).sum())} of {n}; the difference is {mean:+.3f}, the mean over the "
            "ROIs of a subject, then over subjects."
        )


def _picture(rows: pd.DataFrame, column: str, label: str) -> Picture:
    above = "; ".join(
        f"{int((part['r'] > part[column]).sum())} of {count(len(part), 'ROI')} lie above the "
        f"diagonal for {method}"
        for method, part in of_each(rows, ("method",))
    )
    return Picture(
        scatter(rows, (column, f"mean r, {label}"), ("r", "mean r, pooled"), diagonal=True),
        alt=f"Scatter of pooled against {label} mean r: {above}.",
        caption=f"One point per ROI and pooled method ({count(_n_rois(rows), 'ROI')} of "
        f"subjects), mean Pearson r over its vertices, protocol {rows['protocol'].iloc[0]}; above "
        "the line, pooling is better.",
    )


def _n_rois(rows: pd.DataFrame) -> int:
    """Count the ROIs of subjects, each once."""
    return len(rows[["dataset", "subject", "hemisphere", "roi"]].drop_duplicates())
