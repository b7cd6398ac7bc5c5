"""Each method against the untuned backbone: dots with intervals by group and by ROI."""

from collections.abc import Iterator
from typing import Final

import pandas as pd
import pyarrow as pa

from orchestrator.cli.text import count
from orchestrator.report.intervals import describe_rows, interval_text
from orchestrator.report.sections.plots import dots, roi_rank
from orchestrator.report.sections.section import Column, Picture, Section
from orchestrator.scores.rows import method_order
from trainables.spec.labels import method_of
from trainables.spec.rois import BOTH

COLUMNS = (
    Column("level", "level"),
    Column("row", "row"),
    Column("method", "method"),
    Column("reference", "reference"),
    Column("subject", "subject"),
    Column("hemisphere", "hemisphere"),
    Column("roi", "ROI"),
    Column("r", "mean r", "r"),
    Column("r_reference", "reference r", "r"),
    Column("difference", "difference", "difference"),
    Column("low", "low", "difference"),
    Column("high", "high", "difference"),
    Column("share_better", "vertices better", "share"),
    Column("t_q", "t, q", "number"),
    Column("n_distinct_vertices", "vertices", "count"),
    Column("n_rois", "ROIs", "count"),
    Column("protocol", "protocol"),
)

OVER_SUBJECTS: Final = (
    "Tests over subjects: paired t and sign flips, two-sided; q: p corrected (Benjamini-Hochberg) "
    "over ROIs of both hemispheres. With n subjects the least p of the sign-flip test is 2/2ⁿ."
)
FALSE_DISCOVERIES: Final = 0.05


def section(table: pa.Table) -> Section:
    """Show the differences from untuned, of the first protocol, over both hemispheres."""
    rows = table.to_pandas()
    first = rows[rows["protocol"] == rows["protocol"].iloc[0]]
    shown = first[
        (first["reference"].map(method_of) == "untuned") & (first["hemisphere"] == "both")
    ]
    by_group = shown[shown["level"] == "group"].drop_duplicates(["method", "row"])
    by_roi = shown[shown["level"] == "roi"]
    by_roi = by_roi.iloc[sorted(range(len(by_roi)), key=lambda k: roi_rank(by_roi["roi"].iloc[k]))]
    return Section(
        name="improvement",
        title="Improvement over the untuned backbone",
        reading=(*_read(by_group), *_read_tests(first)),
        figures=tuple(
            _picture(part, by_group, what)
            for part, what in ((by_group, "group"), (by_roi, "ROI"))
            if len(part)
        ),
        table=rows,
        columns=COLUMNS,
        notes=(describe_rows(shown.to_dict("records")), OVER_SUBJECTS),
    )


def _read(rows: pd.DataFrame) -> Iterator[str]:
    """Compare the methods, one sentence per ROI group; each number is of the row that is named."""
    for label in dict.fromkeys(rows["row"]):
        of_row = rows[rows["row"] == label].set_index("method")
        n_rois = of_row["n_rois"]
        parts = []
        for method in method_order(of_row.index):
            one = of_row.loc[method]
            few = "" if one["n_rois"] == n_rois.max() else f"; {one['n_rois']} ROIs"
            parts.append(
                f"{method} {one['difference']:+.3f} in mean r ({_interval(one)}; "
                f"{one['share_better']:.0%} of vertices better{few})"
            )
        n = count(int(n_rois.max()), "ROI"), count(int(of_row["n_subjects"].max()), "subject")
        yield f"{label} ({', '.join(n)}), against the untuned backbone: {'; '.join(parts)}."


def _read_tests(rows: pd.DataFrame) -> Iterator[str]:
    """Count the ROIs that differ over subjects, and between hemispheres, for each method."""
    against = rows[(rows["reference"].map(method_of) == "untuned") & (rows["level"] == "roi")]
    for method in method_order(against["method"].unique()):
        own = against[against["method"] == method]
        of_sides = own[own["t_p"].notna()]
        contrasts = own[own["contrast_t_p"].notna()]
        if of_sides.empty:
            continue
        n, worse = count(len(of_sides), "ROI"), of_sides["difference"] < 0
        by_t, by_flip = (of_sides[name] <= FALSE_DISCOVERIES for name in ("t_q", "flip_q"))
        contrasted = int((contrasts["contrast_t_q"] <= FALSE_DISCOVERIES).sum())
        of_both = f"; lh and rh differ in {contrasted} of {len(contrasts)}"
        divided = bool((of_sides["hemisphere"] != BOTH).any())
        which = f"{n} of a hemisphere" if divided else n
        together = ", both hemispheres corrected together" if divided else ""
        yield (
            f"{method}, over subjects: of {which}, {int((by_t & ~worse).sum())} are "
            f"better than untuned and {int((by_t & worse).sum())} worse by the paired t test at "
            f"q ≤ 5 %{together}; by the sign-flip test "
            f"{int(by_flip.sum())} differ{of_both if len(contrasts) else ''}."
        )


def _interval(row: "pd.Series[float]") -> str:
    """Write a row's interval, and whether it includes 0."""
    includes = ", an interval that includes 0" if row["low"] <= 0 <= row["high"] else ""
    return f"{interval_text(row['low'], row['high'])}{includes}"


def _picture(rows: pd.DataFrame, by_group: pd.DataFrame, what: str) -> Picture:
    labelled = rows.assign(label=rows["row"])
    best = rows.sort_values("difference").iloc[-1]
    n = int(rows["n_subjects"].max())
    counts = by_group.groupby("row", sort=False)["n_distinct_vertices"].max()
    vertices = ", ".join(f"{label} {number:,}" for label, number in counts.items())
    return Picture(
        dots(labelled, "difference", "difference in mean r from untuned", zero=True),
        alt=f"Difference in mean r to the untuned backbone by {what} and method; the largest is "
        f"{best['difference']:+.3f}, {best['method']} in {best['row']}.",
        caption=f"Difference in mean Pearson r from untuned by {what}, protocol "
        f"{rows['protocol'].iloc[0]}; at most {n} subjects; vertices, each counted once: "
        f"{vertices}; bars: 95 % intervals.",
    )
