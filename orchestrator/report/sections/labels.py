"""Labels beside points of a figure, placed so that they cover neither each other nor a point."""

import itertools
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

Array = np.ndarray[Any, np.dtype[np.float64]]

GAPS: Final = (7.0, 16.0, 28.0, 44.0)
"""Between a point and its label, in typographic points; the nearest that is free is taken."""
DIRECTIONS: Final = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
PADDING: Final = 2.0
"""Pixels kept free around a label: a viewer's font may be wider."""
LEADER_FROM: Final = 10.0
"""Labels farther away get a line to their point."""


def place_labels(
    axes: Axes, points: Mapping[str, tuple[float, float]], others: Array
) -> list[Annotation]:
    """Label points, where their labels cover least.

    points: data coordinates by label. others: (n, 2), further points that labels should not cover.
    The figure's layout must be what it will be when it is saved.
    """
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)  # axes are on one
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    frame = axes.get_window_extent(renderer)
    places = [np.array(at) for at in points.values()]
    marks = axes.transData.transform(np.vstack([*places, others.reshape(-1, 2)]))
    taken: list[Bbox] = []
    labels = []
    for (text, at), mark in zip(points.items(), marks, strict=False):
        label = axes.annotate(
            text, at, xytext=(0, 0), textcoords="offset points", ha="center", va="center"
        )
        label.set_in_layout(False)
        extent = label.get_window_extent(renderer)
        size = np.array([extent.width, extent.height]) + 2 * PADDING
        boxes = _candidates(mark, size, figure.dpi / 72)
        costs = [_cost(box, taken, marks, frame) for box in boxes]
        best = int(np.argmin(costs))
        taken.append(boxes[best])
        x, y = (np.mean(boxes[best].get_points(), axis=0) - mark) * 72 / figure.dpi
        label.set_position((x, y))
        if GAPS[best // len(DIRECTIONS)] > LEADER_FROM:
            _draw_leader(axes, at, (x, y))
        labels.append(label)
    return labels


def _candidates(mark: Array, size: Array, scale: float) -> list[Bbox]:
    """Return the boxes that a label of a size may have, the nearest first; pixels."""
    boxes = []
    for gap, direction in itertools.product(GAPS, DIRECTIONS):
        away = np.array(direction, dtype=float)
        centre = mark + away * (size / 2) + away / np.linalg.norm(away) * gap * scale
        boxes.append(Bbox([centre - size / 2, centre + size / 2]))
    return boxes


def _cost(box: Bbox, taken: list[Bbox], marks: Array, frame: Bbox) -> int:
    """Count what a box covers; labels and the frame's edge count more than points."""
    low, high = box.get_points()
    first, last = frame.get_points()
    covered = int(np.all((marks > low) & (marks < high), axis=1).sum())
    outside = bool(np.any(low < first) or np.any(high > last))
    return covered + 1000 * sum(box.overlaps(one) for one in taken) + 100 * outside


def _draw_leader(axes: Axes, at: tuple[float, float], offset: tuple[float, float]) -> None:
    line = axes.annotate(
        "",
        at,
        xytext=offset,
        textcoords="offset points",
        arrowprops={"arrowstyle": "-", "color": "0.5", "lw": 0.7, "shrinkA": 6, "shrinkB": 4},
    )
    line.set_in_layout(False)
