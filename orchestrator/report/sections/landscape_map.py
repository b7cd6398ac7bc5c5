"""The map of the landscape: colour is accuracy, shape the group of ROIs, edge the method."""

from typing import Any, Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from orchestrator.analyze.model_groups import MODEL_GROUPS
from orchestrator.report.sections.labels import place_labels
from orchestrator.report.style import SEQUENTIAL, STYLE, WIDTH, as_svg, method_colour
from orchestrator.scores.rows import method_order

MARKERS: Final = dict(zip(MODEL_GROUPS, "<>so^DvHp", strict=True))
REFERENCES: Final = {"oracle": "P", "chance": "X"}
"""Markers of the points that are no backbone."""
MANY: Final = 80
"""More backbones than this are drawn small."""


def draw_map(rows: pd.DataFrame, axis_names: tuple[str, str]) -> str:
    """Draw all models of a task, and the backbones alone, enlarged; return the SVG.

    rows: axis_1, axis_2, accuracy, method, model_group (null if not fine-tuned).
    """
    backbones = rows[~rows["method"].isin(REFERENCES)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
        panels = figure.subplots(1, 2)
        colours = mpl.cm.ScalarMappable(_scale(backbones["accuracy"]), SEQUENTIAL)
        titles = ("with reference points", "backbones alone, enlarged")
        for axes, part, title in zip(panels, (rows, backbones), titles, strict=True):
            _draw(axes, part, colours)
            axes.set_title(title, loc="left")
            axes.set_xlabel(axis_names[0])
            axes.margins(0.12)
        panels[0].set_ylabel(axis_names[1])
        figure.colorbar(colours, ax=list(panels), label="accuracy (%)", shrink=0.8)
        figure.legend(
            handles=_legend(backbones), loc="outside lower center", ncols=5, frameon=False
        )
        for axes, part in zip(panels, (rows, backbones), strict=True):
            _label(axes, part)
        return as_svg(figure)


def _scale(accuracy: "pd.Series[float]") -> Normalize:
    low, high = 100 * float(accuracy.min()), 100 * float(accuracy.max())
    return Normalize(low, high if high > low else low + 1)


def _draw(axes: Axes, rows: pd.DataFrame, colours: mpl.cm.ScalarMappable) -> None:
    finetuned = rows.dropna(subset=["model_group"])
    size = 22 if len(finetuned) > MANY else 46
    edges = _edges(finetuned)
    for (method, group), part in finetuned.groupby(["method", "model_group"], sort=False):
        filled = colours.to_rgba(100 * part["accuracy"].to_numpy())
        style: dict[str, Any] = {"marker": MARKERS[str(group)], "edgecolors": edges[str(method)]}
        axes.scatter(part["axis_1"], part["axis_2"], s=size, c=filled, linewidths=1.1, **style)
    for method, part in rows[rows["model_group"].isna()].groupby("method", sort=False):
        marker = REFERENCES.get(str(method), "*")
        filled = colours.to_rgba(100 * part["accuracy"].to_numpy())
        style = {"marker": marker, "c": filled if marker == "*" else "black"}
        style |= {"edgecolors": "black", "s": 130 if marker == "*" else 70, "zorder": 3}
        axes.scatter(part["axis_1"], part["axis_2"], **style)


def _edges(finetuned: pd.DataFrame) -> dict[str, str]:
    """Return the colour of each method's edges."""
    methods = method_order(finetuned["method"])
    return {method: method_colour(method, place) for place, method in enumerate(methods)}


def _legend(backbones: pd.DataFrame) -> list[Line2D]:
    """List what shapes and edges mean, of those that are there."""
    finetuned = backbones.dropna(subset=["model_group"])
    blank: dict[str, Any] = {"ls": "", "mfc": "none", "ms": 6}
    groups = [one for one in MODEL_GROUPS if one in set(finetuned["model_group"])]
    shapes = [Line2D([], [], marker=MARKERS[one], mec="0.3", label=one, **blank) for one in groups]
    edges = [
        Line2D([], [], marker="o", mec=colour, mew=1.6, label=f"edge: {method}", **blank)
        for method, colour in _edges(finetuned).items()
    ]
    return [*shapes, *edges]


def _label(axes: Axes, rows: pd.DataFrame) -> None:
    """Name the reference points: untuned, oracle and chance."""
    named = rows["model_group"].isna()
    places = rows[["axis_1", "axis_2"]].to_numpy(dtype=np.float64)
    points = {
        str(method): (float(x), float(y))
        for method, (x, y) in zip(rows.loc[named, "method"], places[named], strict=True)
    }
    place_labels(axes, points, places[~named])
