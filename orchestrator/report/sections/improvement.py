"""Each method against the untuned backbone: dots with intervals by group and by ROI."""

import pandas as pd
import pyarrow as pa

from orchestrator.report.sections.plots import dots, roi_rank
from orchestrator.report.sections.section import Column, Picture, Section
from orchestrator.scores.rows import method_order

COLUMNS = (
    Column("level", "level"),
    Column("row", "row"),
    Column("method", "method"),
    Column("reference", "against"),
    Column("subject", "subject"),
    Column("hemisphere", "hemisphere"),
    Column("roi", "ROI"),
    Column("r", "mean r", "r"),
    Column("r_reference", "its r", "r"),
    Column("difference", "difference", "difference"),
    Column("low", "low", "difference"),
    Column("high", "high", "difference"),
    Column("share_better", "better", "share"),
    Column("n_vertices", "vertices", "count"),
    Column("n_rois", "ROIs", "count"),
    Column("protocol", "protocol"),
)


def section(table: pa.Table) -> Section:
    """Show the differences from untuned, of the first protocol, over both hemispheres."""
    rows = table.to_pandas()
    first = rows[rows["protocol"] == rows["protocol"].iloc[0]]
    shown = first[(first["reference"] == "untuned") & (first["hemisphere"] == "both")]
    by_group = shown[shown["level"] == "group"].drop_duplicates(["method", "row"])
    by_roi = shown[shown["level"] == "roi"]
    by_roi = by_roi.iloc[sorted(range(len(by_roi)), key=lambda k: roi_rank(by_roi["roi"].iloc[k]))]
    return Section(
        name="improvement",
        title="Improvement over the untuned backbone",
        reading=_read(by_group),
        figures=tuple(
            _picture(part, what)
            for part, what in ((by_group, "group"), (by_roi, "ROI"))
            if len(part)
        ),
        table=rows,
        columns=COLUMNS,
        notes=("Intervals cover the choice of vertices only; not images, subjects or seeds.",),
    )


def _read(rows: pd.DataFrame) -> str:
    parts = []
    for method in method_order(rows["method"].unique()):
        one = rows[rows["method"] == method].iloc[-1]
        sure = "" if one["low"] > 0 or one["high"] < 0 else ", an interval that includes 0"
        parts.append(
            f"{method} {one['difference']:+.3f} in mean r ({one['low']:+.3f} to {one['high']:+.3f}"
            f"{sure}; {one['share_better']:.0%} of vertices better)"
        )
    label = rows.iloc[-1]["row"] if len(rows) else "all"
    return f"Against the untuned backbone, over {label}: {'; '.join(parts)}."


def _picture(rows: pd.DataFrame, what: str) -> Picture:
    labelled = rows.assign(label=rows["row"])
    best = rows.sort_values("difference").iloc[-1]
    n = int(rows["n_subjects"].max())
    return Picture(
        dots(labelled, "difference", "difference in mean r from untuned", zero=True),
        alt=f"Difference in mean r to the untuned backbone by {what} and method; the largest is "
        f"{best['difference']:+.3f}, {best['method']} in {best['row']}.",
        caption=f"Difference in mean Pearson r from untuned by {what}, protocol "
        f"{rows['protocol'].iloc[0]}; at most {n} subjects, "
        f"{int(rows['n_vertices'].sum() / max(1, rows['method'].nunique())):,} vertices; bars: 95 "
        "% bootstrap interval over vertices.",
    )
