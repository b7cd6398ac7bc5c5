"""Saliency of the backbones of early ROIs: lateralisation, and mean maps by hemisphere."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestrator.cli.text import count
from orchestrator.report.sections.plots import dots, roi_rank
from orchestrator.report.sections.saliency_panels import (
    UNIT_IN_WORDS,
    as_map,
    choose_backbones,
    draw_examples,
    draw_mean_maps,
)
from orchestrator.report.sections.section import Column, Picture, Section, of_each

COLUMNS = (
    Column("method", "method"),
    Column("subject", "subject"),
    Column("hemisphere", "hemisphere"),
    Column("roi", "ROI"),
    Column("index", "index", "difference"),
    Column("mirrored", "index of mirrored images", "difference"),
    Column("bias", "bias", "difference"),
    Column("bias_low", "bias, low", "difference"),
    Column("bias_high", "bias, high", "difference"),
    Column("bias_change", "change from untuned", "difference"),
    Column("n_images", "images", "count"),
    Column("task", "task"),
    Column("saliency_layer", "Grad-CAM at"),
)


def section(table: pa.Table) -> Section:
    """Show each backbone's left-right bias with its interval, examples, and mean maps.

    Of several tasks or layers the first.
    """
    rows = table.to_pandas()
    place = ["task", "layer", "saliency_layer"]
    first = rows[(rows[place] == rows[place].iloc[0]).all(axis=1)]
    return Section(
        name="saliency",
        title="Saliency",
        reading=tuple(_read(first)),
        figures=(_picture(first), *_examples(first), *_maps(first)),
        table=rows.drop(columns=["mean_map", "examples"]),
        columns=COLUMNS,
        notes=(
            "index: left-minus-right share of Grad-CAM mass; bias: half the sum of the index of "
            "images and of their mirror images, which the layout of the images cannot cause.",
        ),
    )


def _read(rows: pd.DataFrame) -> Iterator[str]:
    """Count the intervals beside 0, one sentence per method and hemisphere."""
    finetuned = rows.dropna(subset=["hemisphere"])
    if finetuned.empty:
        yield "No fine-tuned backbone was probed."
    for label, part in of_each(finetuned, ("method", "dataset", "hemisphere")):
        compared = part.dropna(subset=["bias_change"])
        if compared.empty:
            yield f"{label}: no backbone could be compared with one untuned backbone."
            continue
        left = int((compared["bias_change_low"] > 0).sum())
        right = int((compared["bias_change_high"] < 0).sum())
        yield (
            f"{label}: of {count(len(compared), 'backbone')} of early ROIs {left} have saliency "
            f"further left than the untuned one and {right} further right, by 95 % intervals over "
            f"images; {0.025 * len(compared):.1f} are expected on each side by chance."
        )


def _picture(rows: pd.DataFrame) -> Picture:
    places = rows["roi"] + " " + rows["hemisphere"] + " " + rows["subject"]
    shown = rows.assign(
        label=places.fillna("untuned"), low=rows["bias_low"], high=rows["bias_high"]
    )
    rank = rows["roi"].map(lambda roi: roi_rank(roi)[0])
    order = rows.assign(rank=rank).sort_values(["rank", "hemisphere", "subject"]).index
    shown = shown.loc[order].dropna(subset=["bias"])
    return Picture(
        dots(shown, "bias", "bias: left (+) or right (−) share of Grad-CAM mass", zero=True),
        alt=f"Left-right bias of {len(shown)} backbones, from {shown['bias'].min():+.3f} to "
        f"{shown['bias'].max():+.3f}.",
        caption=f"Bias of Grad-CAM mass to the left, mean over {int(rows['n_images'].max()):,} "
        "test images and their mirror images; bars: 95 % bootstrap interval over images.",
    )


def _maps(rows: pd.DataFrame) -> Iterator[Picture]:
    """Draw the mean map of each method and hemisphere, where there are any."""
    kinds = rows.assign(kind=(rows["method"] + " " + rows["hemisphere"]).fillna("untuned"))
    parts = {
        str(kind): np.mean([as_map(one) for one in part["mean_map"]], axis=0)
        for kind, part in kinds.groupby("kind")
        if len(part["mean_map"].iloc[0])
    }
    if parts:
        yield Picture(
            draw_mean_maps(parts),
            alt=f"Mean Grad-CAM maps of {', '.join(parts)} backbones.",
            caption=f"Mean Grad-CAM map at {rows['saliency_layer'].iloc[0]} of the classifier on "
            f"{rows['layer'].iloc[0]}, over images and the backbones of a method and hemisphere. "
            f"{UNIT_IN_WORDS}",
        )


def _examples(rows: pd.DataFrame) -> Iterator[Picture]:
    """Draw a few images with the maps of one ROI's backbones and of the untuned one."""
    shown = choose_backbones(rows)
    if not shown or not len(shown[-1].examples):
        return
    names = ", ".join(one.name for one in shown)
    yield Picture(
        draw_examples(shown),
        alt=f"Images and mirror images with Grad-CAM maps of {names}, and the probability of the "
        "true class.",
        caption=f"Grad-CAM at {rows['saliency_layer'].iloc[0]} for the true class: {names}. "
        "Below each map the probability of the true class and, after an arrow, the class that the "
        "backbone predicts where that is another. The same test images for all backbones, spread "
        f"evenly over {rows['task'].iloc[0]}; maps are upsampled by cubic interpolation. "
        f"{UNIT_IN_WORDS} The scale ends at the 95th percentile.",
    )
