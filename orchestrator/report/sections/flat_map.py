"""A flat patch of the cortex: values as colours, folding where there are none, outlines of ROIs."""

from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Normalize

Array = np.ndarray[Any, np.dtype[Any]]

MARGIN: Final = 8.0
"""Around the vertices with a value, in mm of the flat mesh."""
INNER_SHARE: Final = 0.98
"""Share of the vertices with a value that the patch shows: flattening tears some away."""
LARGEST_EDGE: Final = 15.0
"""mm; longer edges of a face join two sides of a cut."""


def draw_flat(
    axes: Axes,
    flat: tuple[Array, Array],
    folding: Array,
    values: Array,
    rois: Sequence[str],
    colours: mpl.cm.ScalarMappable,
) -> None:
    """Draw the part of a flat hemisphere that has values.

    flat: coordinates (n_vertices, 3) and faces (n_faces, 3). folding, values: (n_vertices,), NaN
    where there is no value. rois: (n_vertices,) names of ROIs, empty without one.
    """
    coordinates, faces = flat[0][:, :2], _without_cuts(*flat)
    low, high = patch(coordinates, np.isfinite(values))
    inside = np.all((coordinates >= low) & (coordinates <= high), axis=1)
    shown = faces[inside[faces].all(axis=1)]
    per_vertex = _colour(folding, values, colours)
    axes.add_collection(
        PolyCollection(
            coordinates[shown],
            facecolors=per_vertex[shown].mean(axis=1),
            edgecolors="face",
            linewidths=0.2,
            rasterized=True,
        )
    )
    names = np.array(rois)
    axes.add_collection(
        LineCollection(outlines(coordinates, shown, names), colors="black", linewidths=0.7)
    )
    for name in sorted(set(names[inside]) - {""}):
        x, y = np.median(coordinates[inside & (names == name)], axis=0)
        halo = [patheffects.withStroke(linewidth=2, foreground="white")]
        axes.text(x, y, name, ha="center", va="center", fontsize=7, path_effects=halo)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.set_axis_off()


def patch(coordinates: Array, has_value: Array) -> tuple[Array, Array]:
    """Return the lower and the upper corner of the rectangle around the vertices with a value."""
    there = coordinates[has_value] if has_value.any() else coordinates
    outer = (1 - INNER_SHARE) / 2
    return (
        np.quantile(there, outer, axis=0) - MARGIN,
        np.quantile(there, 1 - outer, axis=0) + MARGIN,
    )


def outlines(coordinates: Array, faces: Array, names: Array) -> list[Array]:
    """Return the segments (2, 2) that divide faces whose vertices have different names.

    A face of two names is crossed between the middles of the two edges that join them; one of three
    names gets a segment from the middle of each edge to its centre.
    """
    segments = []
    _, codes = np.unique(names, return_inverse=True)
    for face in faces[np.ptp(codes[faces], axis=1) > 0]:
        corners = coordinates[face]
        crossed = [
            (corners[one] + corners[other]) / 2
            for one, other in ((0, 1), (1, 2), (2, 0))
            if codes[face[one]] != codes[face[other]]
        ]
        if len(crossed) == 2:
            segments.append(np.array(crossed))
        else:
            segments += [np.array([middle, corners.mean(axis=0)]) for middle in crossed]
    return segments


def _without_cuts(coordinates: Array, faces: Array) -> Array:
    corners = coordinates[faces]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    kept: Array = faces[edges.max(axis=1) < LARGEST_EDGE]
    return kept


def _colour(folding: Array, values: Array, colours: mpl.cm.ScalarMappable) -> Array:
    """Return RGBA (n_vertices, 4): of the value, or grey by the folding."""
    grey = mpl.colormaps["gray_r"](Normalize(-30, 30)(np.clip(folding * 10, -10, 14)))
    found: Array = np.where(
        np.isfinite(values)[:, None], colours.to_rgba(np.nan_to_num(values)), grey
    )
    return found
