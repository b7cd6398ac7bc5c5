"""The matrices of transfer of one method: a block per ROI group, in three measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from orchestrator.report.sections.section import Picture
from orchestrator.report.style import DIVERGING, SEQUENTIAL, STYLE, as_svg

PANEL: Final = 3.3
"""Inches of a matrix of MOST subjects, with its labels; smaller ones shrink down to LEAST."""
LEAST: Final = 2.1
MOST: Final = 8
"""Subjects up to which the numbers are written into the cells."""


@dataclass(frozen=True)
class Measure:
    """A column of panels: what it shows, briefly and in words, and the middle of its scale."""

    column: str
    short: str
    title: str
    centre: float | None = None
    """Of a diverging scale; None: a sequential one."""
    factor: float = 1.0
    format: str = ".2f"


MEASURES: Final = (
    Measure("r", "mean r", "mean r", format=".3f"),
    Measure("gain", "Δr", "mean r minus untuned", 0.0, format="+.3f"),
    Measure("share_better", "% better", "% of vertices better than untuned", 50.0, 100.0, ".0f"),
)


def block_picture(label: str, rows: pd.DataFrame, protocol: str) -> Picture:
    """Draw the blocks of one method and data set: groups below each other, measures side by side.

    rows: of groups, over both hemispheres. protocol: for the caption.
    """
    measures = [one for one in MEASURES if rows[one.column].notna().any()]
    groups = list(dict.fromkeys(rows["row"]))
    others = rows[~rows["is_own"]]
    ranges = [
        f"{one.title} {one.factor * others[one.column].min():{one.format}} to "
        f"{one.factor * others[one.column].max():{one.format}}"
        for one in measures
    ]
    return Picture(
        _draw(rows, groups, measures),
        alt=f"{label}: matrices of the fine-tuned by the scored subject for {', '.join(groups)} "
        f"ROIs; between subjects {'; '.join(ranges)}.",
        caption=f"{label}, {protocol}: a row is the subject of the fine-tuning, a column the "
        "scored subject, to which PCA and ridge are fitted. Each number is over the ROIs that the "
        "pair shares, untuned included; outlined: the subject's own models; grey: no shared ROI.",
    )


def block_matrix(rows: pd.DataFrame, group: str, measure: Measure) -> pd.DataFrame:
    """Arrange a measure of a group as models × targets, NaN where a pair shares no ROI.

    Models and targets are those of all groups, so that blocks have the same rows and columns.
    """
    part = rows[rows["row"] == group].pivot(index="model", columns="subject", values=measure.column)
    found = measure.factor * part.astype(float)
    models = sorted(rows["model"].unique(), key=lambda name: (name.count("+"), name))
    return found.reindex(index=models, columns=sorted(rows["subject"].unique()))


def _draw(rows: pd.DataFrame, groups: Sequence[str], measures: Sequence[Measure]) -> str:
    shape = rows["model"].nunique(), rows["subject"].nunique()
    height, width = (max(LEAST, PANEL * min(1.0, n / MOST)) for n in shape)
    with mpl.rc_context(STYLE):
        size = (0.6 + (width + 0.5) * len(measures), 0.7 + height * len(groups))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(groups), len(measures), squeeze=False)
        for place, measure in enumerate(measures):
            matrices = {group: block_matrix(rows, group, measure) for group in groups}
            options = _scale(list(matrices.values()), measure)
            for axes, (group, matrix) in zip(panels[:, place], matrices.items(), strict=True):
                image = axes.imshow(matrix.to_numpy(), aspect="auto", **options)
                _label(axes, f"{group}: {measure.short}", matrix)
                _outline(axes, matrix, rows[(rows["row"] == group) & rows["is_own"]])
                if max(shape) <= MOST:
                    _write_numbers(axes, matrix, measure, image)
            bar = figure.colorbar(image, ax=list(panels[:, place]), location="bottom", aspect=30)
            bar.set_label(measure.title.replace(" better", "\nbetter"))
        for axes in panels[:, 0]:
            axes.set_ylabel("fine-tuned on")
        for axes in panels[-1]:
            axes.set_xlabel("scored on")
        return as_svg(figure)


def _scale(matrices: Sequence[pd.DataFrame], measure: Measure) -> dict[str, Any]:
    """Choose the colours of a measure, the same for all groups."""
    values = np.concatenate([one.to_numpy().ravel() for one in matrices])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if measure.centre is None:
        return {"vmin": low, "vmax": high, "cmap": SEQUENTIAL}
    reach = max(abs(high - measure.centre), abs(low - measure.centre), 1e-9)
    limits = {"vmin": measure.centre - reach, "vmax": measure.centre + reach}
    return {**limits, "cmap": DIVERGING}


def _label(axes: Axes, title: str, matrix: pd.DataFrame) -> None:
    axes.set_facecolor("0.9")
    axes.set_xticks(range(matrix.shape[1]), list(map(str, matrix.columns)), rotation=90)
    axes.set_yticks(range(matrix.shape[0]), list(map(str, matrix.index)))
    axes.set_title(title, loc="left", fontsize=9)


def _outline(axes: Axes, matrix: pd.DataFrame, own: pd.DataFrame) -> None:
    """Outline the subjects' own models."""
    models, subjects = list(matrix.index), list(matrix.columns)
    for model, subject in zip(own["model"], own["subject"], strict=True):
        corner = (subjects.index(subject) - 0.5, models.index(model) - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, ec="black", lw=1.2))


def _write_numbers(axes: Axes, matrix: pd.DataFrame, measure: Measure, image: Any) -> None:
    """Write each number into its cell, dark on light colours and light on dark ones."""
    for (row, column), value in np.ndenumerate(matrix.to_numpy()):
        if np.isnan(value):
            continue
        red, green, blue, _ = image.cmap(image.norm(value))
        is_dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
        text = f"{value:{measure.format}}".replace("0.", ".", 1)
        colour = "white" if is_dark else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
