"""Models in and out of distribution: NSD's test images beside NSD-synthetic, by class of images."""

from collections.abc import Iterator
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from orchestrator.report.intervals import describe_rows, interval_text
from orchestrator.report.sections.plots import dots
from orchestrator.report.sections.section import Column, Picture, Section
from orchestrator.scores.ood.score_files import ALL_CLASSES
from orchestrator.scores.ood.summaries import note_rois

COLUMNS = (
    Column("row", "ROIs"),
    Column("method", "method"),
    Column("image_class", "class of images"),
    Column("n_images", "images", "count"),
    Column("r_in", "in: r", "r"),
    Column("noise_ceiling_in", "ceiling", "r"),
    Column("explained_in", "explained", "share"),
    Column("r", "out: r", "r"),
    Column("low", "low", "r"),
    Column("high", "high", "r"),
    Column("noise_ceiling", "ceiling", "r"),
    Column("explained", "explained", "share"),
    Column("difference", "out − in", "difference"),
    Column("difference_low", "low", "difference"),
    Column("difference_high", "high", "difference"),
    Column("r_refitted", "refitted: r", "r"),
    Column("refitted_low", "low", "r"),
    Column("refitted_high", "high", "r"),
    Column("explained_refitted", "explained", "share"),
    Column("n_vertices", "vertices", "count"),
    Column("n_rois", "number of ROIs", "count"),
    Column("n_subjects", "subjects", "count"),
    Column("n_models", "models", "count"),
)
IN, OUT, REFITTED = "in distribution", "out of distribution", "out, refitted"
CEILING: Final = "noise ceiling"
_SHOWN: Final = ["label", "method", "value", "low", "high"]


def section(table: pa.Table) -> Section:
    """Show each method in and out of distribution, and each group's ROIs by class of images."""
    rows = table.to_pandas()
    groups = rows[~rows["is_total"]]
    over_all = groups[groups["image_class"] == ALL_CLASSES]
    by_class = groups[groups["image_class"] != ALL_CLASSES]
    unlike = note_rois(zip(over_all["row"], map(tuple, over_all["rois"].str.split()), strict=True))
    return Section(
        name="ood",
        title="Out of distribution: NSD-synthetic",
        reading=tuple(_read(over_all)),
        figures=(
            _whole_picture(over_all),
            *(_class_picture(part) for _, part in by_class.groupby("row", sort=False)),
        ),
        table=rows,
        columns=COLUMNS,
        notes=(
            "In: NSD's test images, photographs. Out: NSD-synthetic's artificial images, by the "
            "same readout, which was fitted to NSD's training images. Refitted: by a readout of "
            "the same layer that is fitted to the other images of NSD-synthetic, in folds that "
            "keep images together that are alike; it has far fewer images to be fitted to.",
            "Explained: median over vertices of r |r| / ceiling². The two sets differ in their "
            "images and repeats, and the responses to one class vary less than those to all: "
            "compare explained shares, and methods within a class. The ceiling of a class is its "
            "own, and is known from ten images on.",
            *([unlike] if unlike else []),
        ),
    )


def _read(rows: pd.DataFrame) -> Iterator[str]:
    """Say what becomes of each method's r in each group, without the totals of groups."""
    for one in rows.itertuples():
        yield (
            f"In {one.row} ROIs, {one.method} predicts NSD-synthetic with a mean r of "
            f"{one.r:.3f}{_share(one.explained)}, and NSD's test images with "
            f"{one.r_in:.3f}{_share(one.explained_in)}: a difference of {one.difference:+.3f} "
            f"({interval_text(one.difference_low, one.difference_high)})."
            f"{_refitted(one)}"
        )


def _share(explained: Any) -> str:
    return "" if pd.isna(explained) else f" ({explained:.0%} of the explainable variance)"


def _refitted(one: Any) -> str:
    if pd.isna(one.r_refitted):
        return ""
    return (
        f" A readout refitted to NSD-synthetic has {one.r_refitted:.3f}"
        f"{_share(one.explained_refitted)}."
    )


def _whole_picture(rows: pd.DataFrame) -> Picture:
    """Draw r of each group and method: in distribution, out of it, and refitted."""
    labelled = rows.assign(label=_labels(rows))
    names = {
        IN: {"r_in": "value"},
        OUT: {"r": "value", "low": "low", "high": "high"},
        REFITTED: {"r_refitted": "value", "refitted_low": "low", "refitted_high": "high"},
    }
    drawn = pd.concat(
        [
            labelled[["label", *columns]].rename(columns=columns).assign(method=name)
            for name, columns in names.items()
        ]
    ).reindex(columns=_SHOWN)
    drawn = drawn.dropna(subset=["value"])
    return Picture(
        dots(drawn, "value", "mean r", zero=True),
        alt="Mean r by group of ROIs and method: "
        + "; ".join(f"{one.label}, {one.method} {one.value:.3f}" for one in drawn.itertuples())
        + ".",
        caption="Mean Pearson r over the vertices that have one in and out of distribution, "
        f"{int(rows['n_images'].max())} images of NSD-synthetic in "
        f"{int(rows['n_groups'].max())} groups of similar images. "
        f"{_intervals(rows)}",
    )


def _labels(rows: pd.DataFrame) -> "pd.Series[str]":
    """Name rows by group, and by method where there are several."""
    if rows["method"].nunique() == 1:
        return rows["row"]
    labels: pd.Series[str] = rows["row"] + ", " + rows["method"]
    return labels


def _class_picture(rows: pd.DataFrame) -> Picture:
    """Draw r of each class of images in a group of ROIs, with the class's noise ceiling."""
    methods = rows.rename(columns={"image_class": "label", "r": "value"})
    first = methods.drop_duplicates("label")
    ceilings = first.assign(method=CEILING, value=first["noise_ceiling"], low=None, high=None)
    drawn = pd.concat([methods[_SHOWN], ceilings[_SHOWN].dropna(subset=["value"])])
    drawn = drawn.astype({"value": float, "low": float, "high": float})
    row = rows["row"].iloc[0]
    return Picture(
        dots(drawn, "value", f"mean r, {row} ROIs", zero=True),
        alt=f"Mean r in {row} ROIs by class of images: "
        + "; ".join(f"{one.label}, {one.method} {one.value:.3f}" for one in drawn.itertuples())
        + ".",
        caption=f"Mean Pearson r in {row} ROIs over the images of each class of NSD-synthetic, by "
        "the readout that was fitted to NSD's training images, and the mean noise ceiling of the "
        f"class. {_intervals(rows)}",
    )


def _intervals(rows: pd.DataFrame) -> str:
    known: list[Any] = rows.to_dict("records")
    return describe_rows(known)
