"""The kinds of figures that sections draw: dots with intervals, scatter plots."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.report.style import STYLE, WIDTH, as_svg, method_colour
from orchestrator.scores.rows import method_order
from trainables.spec.rois import ROI_ORDER

MARKERS: Final = {"early": "o", "higher": "s", "streams": "^", "atlas": "v", "whole": "D"}
ROW: Final = 0.26
"""Inches per labelled row, so that long lists of ROIs stay legible."""
LEGEND: Final = 104
"""Characters that fit side by side above a figure, and LEAST_KEY more for each key's sign."""
LEAST_KEY: Final = 8
KEY_LINE: Final = 0.2
"""Inches per further line of keys."""


def roi_rank(roi: str | None) -> tuple[int, str]:
    """Rank an ROI in the order of all tables; unknown ones come last, by name."""
    place = ROI_ORDER.index(roi) if roi in ROI_ORDER else len(ROI_ORDER)
    return (place, str(roi))


def dots(rows: pd.DataFrame, value: str, label: str, *, zero: bool) -> str:
    """Draw one row per label and one dot per method, with its interval; return the SVG.

    rows: columns label, method, the value, and low and high where there are intervals.
    """
    labels = list(dict.fromkeys(rows["label"]))
    methods = method_order(rows["method"].unique())
    with mpl.rc_context(STYLE):
        n_columns = max(1, min(4, LEGEND // (LEAST_KEY + max(map(len, methods)))))
        height = 1.0 + ROW * len(labels) * max(1.0, 0.45 * len(methods))
        height += KEY_LINE * (-(-len(methods) // n_columns) - 1)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots()
        for place, method in enumerate(methods):
            _dots_of(axes, rows[rows["method"] == method], value, labels, (place, len(methods)))
        if zero:
            axes.axvline(0, color="0.5", lw=0.8, zorder=0)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
        axes.set_xlabel(label)
        if len(methods) > 1:
            axes.legend(
                loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=n_columns, frameon=False
            )
        return as_svg(figure)


def _dots_of(
    axes: Axes, rows: pd.DataFrame, value: str, labels: Sequence[str], place: tuple[int, int]
) -> None:
    number, of = place
    offset = (number - (of - 1) / 2) * 0.7 / of
    y = np.array([labels.index(one) for one in rows["label"]]) + offset
    method = str(rows["method"].iloc[0])
    colour = method_colour(method, number)
    if {"low", "high"} <= set(rows.columns):
        axes.hlines(y, rows["low"], rows["high"], color=colour, lw=1.6)
    axes.plot(rows[value], y, "o", color=colour, ms=4.5, label=method)


def scatter(
    rows: pd.DataFrame,
    x: tuple[str, str],
    y: tuple[str, str],
    *,
    diagonal: bool = False,
    fronts: Mapping[str, pd.DataFrame] | None = None,
) -> str:
    """Draw one point per row, coloured by method, its marker by group; return the SVG.

    x, y: column and axis label. diagonal: draw where both are equal. fronts: rows to ring and to
    join by a line, by the line's name.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
        axes = figure.subplots()
        for place, method in enumerate(method_order(rows["method"].unique())):
            of_method = rows[rows["method"] == method]
            for group, part in of_method.groupby(of_method["group"].fillna("none")):
                name = method if group == "none" else f"{method}, {group}"
                axes.plot(
                    part[x[0]],
                    part[y[0]],
                    MARKERS.get(str(group), "D"),
                    color=method_colour(method, place),
                    ms=6,
                    alpha=0.85,
                    label=name,
                )
        for (name, front), dashes in zip((fronts or {}).items(), ("-", "--", ":"), strict=False):
            steps = front.sort_values(x[0])
            axes.plot(steps[x[0]], steps[y[0]], dashes, color="0.35", lw=1.0, zorder=0)
            ring: dict[str, Any] = {"ms": 10, "mfc": "none", "mec": "black", "mew": 1.1}
            axes.plot(steps[x[0]], steps[y[0]], "o" + dashes, color="0.35", label=name, **ring)
        if diagonal:
            _draw_diagonal(axes, rows[[x[0], y[0]]].to_numpy(dtype=float))
        axes.set_xlabel(x[1])
        axes.set_ylabel(y[1])
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return as_svg(figure)


def _draw_diagonal(axes: Axes, points: "np.ndarray[Any, np.dtype[np.float64]]") -> None:
    """Draw the line on which x and y are equal, on equal axes around all points."""
    low, high = float(np.nanmin(points)), float(np.nanmax(points))
    margin = 0.05 * (high - low) or 0.05
    axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal")
    axes.axline((low, low), slope=1, color="0.5", lw=0.8, zorder=0)
