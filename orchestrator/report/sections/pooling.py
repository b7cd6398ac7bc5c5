"""Pooled models against single-subject ones, ROI by ROI."""

from collections.abc import Iterator
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from orchestrator.cli.text import count
from orchestrator.report.intervals import describe_rows, interval_text
from orchestrator.report.sections.plots import scatter
from orchestrator.report.sections.section import Column, Picture, Section, of_each

COLUMNS = (
    Column("method", "method"),
    Column("subject", "subject"),
    Column("hemisphere", "hemisphere"),
    Column("roi", "ROI"),
    Column("r", "pooled r", "r"),
    Column("r_single", "single r", "r"),
    Column("r_cross_subject", "others' r", "r"),
    Column("r_untuned", "untuned r", "r"),
    Column("difference_single", "difference", "difference"),
    Column("low_single", "low", "difference"),
    Column("high_single", "high", "difference"),
    Column("share_better", "pooled better", "share"),
    Column("share_better_single", "single better", "share"),
    Column("share_better_cross_subject", "others better", "share"),
    Column("n_vertices", "vertices", "count"),
    Column("n_pooled", "pooled", "count"),
    Column("protocol", "protocol"),
)
SINGLE: Final = ("single", "models of the subject itself")
CROSS: Final = ("cross_subject", "models of other subjects, mean")


def section(table: pa.Table) -> Section:
    """Show pooled r against single-subject and cross-subject r, of the first protocol.

    Where a setting is compared with several of one subject's models, its label names these too.
    """
    rows = _named(table.to_pandas())
    of_protocol = rows[rows["protocol"] == rows["protocol"].iloc[0]]
    first, groups = (of_protocol[of_protocol["roi"].notna() == is_roi] for is_roi in (True, False))
    return Section(
        name="pooling",
        title="Pooled models",
        reading=tuple(_read(first, groups)),
        figures=tuple(_pictures(first)),
        table=rows,
        columns=COLUMNS,
        notes=("better: share of an ROI's vertices with a higher r than untuned.", *_notes(groups)),
    )


def _pictures(rows: pd.DataFrame) -> Iterator[Picture]:
    """Draw, against each kind of models, the shares of vertices by subject and r by ROI."""
    for column, label in (CROSS, SINGLE):
        with_shares = rows.dropna(subset=["share_better", f"share_better_{column}"])
        if len(with_shares):
            yield _subjects_picture(with_shares, column, label)
        with_r = rows.dropna(subset=[f"r_{column}"])
        if len(with_r):
            yield _rois_picture(with_r, column, label)


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the compared setting to the method, where there are several of them."""
    if rows.groupby("method")["reference"].nunique().max() < 2:
        return rows
    return rows.assign(method=rows["method"] + " against " + rows["reference"].fillna("none"))


def _notes(groups: pd.DataFrame) -> Iterator[str]:
    """Describe what the intervals of the differences cover."""
    for column, label in (SINGLE, CROSS):
        shown = groups.dropna(subset=[f"difference_{column}"])
        names = {f"{name}_{column}": name for name in ("low", "high")}
        names |= {f"covers_{what}_{column}": f"covers_{what}" for what in ("subjects", "seeds")}
        records: Any = shown.rename(columns=names).to_dict("records")
        if records:
            yield f"Difference from {label}: {describe_rows(records)}"


def _read(rows: pd.DataFrame, groups: pd.DataFrame) -> Iterator[str]:
    """Compare pooled with models of one subject, one sentence per method and group.

    groups: the means over the ROIs of each group, with intervals.
    """
    keys = ("method", "dataset", "group")
    means = {values: part.iloc[0] for values, part in groups.groupby(list(keys))}
    for label, part in of_each(rows, keys):
        paired = part.dropna(subset=["r_single"])
        n = count(len(paired), "ROI")
        if paired.empty:
            n = count(len(part), "ROI")
            yield f"{label}: {n} with a pooled score, none with a model of its own to compare."
            continue
        gain = paired["r"] - paired["r_single"]
        mean = means[tuple(part.iloc[0][list(keys)])]
        yield (
            f"{label}: pooled models have a higher mean r than the ROI's own model in "
            f"{int((gain > 0).sum())} of {n}; the difference is {_difference(mean, 'single')}, the "
            "mean over the ROIs of a subject, then over subjects"
            f"{_from_others(mean)}."
        )


def _difference(mean: "pd.Series[Any]", column: str) -> str:
    interval = interval_text(mean[f"low_{column}"], mean[f"high_{column}"])
    return f"{mean[f'difference_{column}']:+.3f} ({interval})"


def _from_others(mean: "pd.Series[Any]") -> str:
    if pd.isna(mean["difference_cross_subject"]):
        return ""
    return f"; from models of other subjects it is {_difference(mean, 'cross_subject')}"


def by_subject(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Average the shares of better vertices over the ROIs of a subject and group, in per cent.

    column: of the models to compare with. Returns the columns method, dataset, subject, group,
    pooled, other and n_rois: both shares are over the same ROIs.
    """
    keys = ["method", "dataset", "subject", "group"]
    shares = {"pooled": "share_better", "other": f"share_better_{column}"}
    paired = rows.dropna(subset=list(shares.values()))
    grouped = paired.groupby(keys, sort=False)
    means = {name: 100 * grouped[source].mean() for name, source in shares.items()}
    return pd.DataFrame({**means, "n_rois": grouped.size()}).reset_index()


def _subjects_picture(rows: pd.DataFrame, column: str, label: str) -> Picture:
    points = by_subject(rows, column)
    above = "; ".join(
        f"{name} {int((part['pooled'] > part['other']).sum())} of {count(len(part), 'subject')}"
        for name, part in of_each(points, ("method", "group"))
    )
    return Picture(
        scatter(
            points,
            ("other", f"{label}:\n% of vertices better than untuned"),
            ("pooled", "pooled models:\n% of vertices better than untuned"),
            diagonal=True,
        ),
        alt=f"Scatter of the share of vertices better than untuned, pooled against {label}; above "
        f"the line: {above}.",
        caption="One point per subject, ROI group and pooled method: % of an ROI's vertices with a "
        f"higher r than untuned, mean over its ROIs, protocol {rows['protocol'].iloc[0]}; above "
        f"the line, where pooled models are better: {above}.",
    )


def _rois_picture(rows: pd.DataFrame, column: str, label: str) -> Picture:
    above = "; ".join(
        f"{method} {int((part['r'] > part[f'r_{column}']).sum())} of {count(len(part), 'ROI')}"
        for method, part in of_each(rows, ("method",))
    )
    return Picture(
        scatter(
            rows,
            (f"r_{column}", f"{label}: mean r"),
            ("r", "pooled models: mean r"),
            diagonal=True,
        ),
        alt=f"Scatter of mean r, pooled against {label}; above the line: {above}.",
        caption=f"One point per ROI and pooled method ({count(_n_rois(rows), 'ROI')} of "
        f"subjects), mean Pearson r over its vertices, protocol {rows['protocol'].iloc[0]}; above "
        f"the line, where pooled models are better: {above}.",
    )


def _n_rois(rows: pd.DataFrame) -> int:
    """Count the ROIs of subjects, each once."""
    return len(rows[["dataset", "subject", "hemisphere", "roi"]].drop_duplicates())
