"""Values on the cortex, as pictures and as an interactive surface, drawn by nilearn on fsaverage.

A vertex without a value shows the folding in grey.
"""

import base64
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from orchestrator.report.sections.flat_map import draw_flat
from orchestrator.report.sections.opening_view import find_direction, open_on
from orchestrator.report.style import DEFAULT_MESH, STYLE, WIDTH

Array = np.ndarray[Any, np.dtype[np.float64]]

SIDES: Final = {"lh": "left", "rh": "right"}
VIEWS: Final = ("posterior", "ventral")
"""The sides from which the visual cortex is seen."""
ROW: Final = 2.6
"""Inches of a hemisphere's row."""
ZOOM: Final = 1.5
"""Of the views: matplotlib leaves room for axes that are not drawn."""


@dataclass(frozen=True)
class Mesh:
    """An fsaverage mesh; a coarser one has the first vertices of the full one."""

    name: str
    surfaces: Any
    """nilearn's PolyMesh, inflated."""
    flat: Any
    """nilearn's PolyMesh, flattened; it lacks the faces along its cuts."""
    folding: Any
    """nilearn's SurfaceImage of the sulcal depth."""

    def n_vertices(self, hemisphere: str) -> int:
        """Count a hemisphere's vertices."""
        return int(self.surfaces.parts[SIDES[hemisphere]].n_vertices)

    def fill(self, hemisphere: str, places: Array, values: Array) -> Array:
        """Spread values (n,) at fsaverage vertices (n,) over the mesh; NaN where there is none.

        Vertices that a coarser mesh lacks are left out.
        """
        filled = np.full(self.n_vertices(hemisphere), np.nan)
        there = places < len(filled)
        filled[places[there].astype(np.int64)] = values[there]
        return filled


def load_mesh(name: str = DEFAULT_MESH) -> Mesh:
    """Load fsaverage5, which nilearn includes, or fsaverage, which it downloads once.

    Raises ValueError where it can't.
    """
    from nilearn import datasets  # seconds to import

    try:
        meshes = datasets.load_fsaverage(name)
        return Mesh(
            name,
            meshes["inflated"],
            meshes["flat"],
            datasets.load_fsaverage_data(mesh=name, mesh_type="inflated", data_type="sulcal"),
        )
    except Exception as error:  # nilearn's own, and those of its download
        raise ValueError(
            f"mesh {name}: nilearn can't load it ({error}); download it where there is a network, "
            f'by nilearn.datasets.load_fsaverage("{name}"), or take fsaverage5'
        ) from error


@dataclass(frozen=True)
class Scale:
    """The meaning of colours: values at both ends, and names of categorical values."""

    label: str
    low: float
    high: float
    cmap: str | Colormap
    names: tuple[str, ...] = ()
    """Of the values 0, 1, …"""


def stepped(label: str, names: Sequence[str], cmap: str) -> Scale:
    """Give each of several named steps a colour of a map."""
    steps = mpl.colormaps[cmap].resampled(len(names))
    return Scale(label, -0.5, len(names) - 0.5, steps, tuple(names))


def draw_views(
    mesh: Mesh, values: dict[str, Array], rois: dict[str, Sequence[str]], scale: Scale
) -> str:
    """Draw each hemisphere that has values, flat and in views; return a PNG as a data URI.

    values: {hemisphere: (n_vertices,)} of the mesh. rois: the names of their ROIs, whose outlines
    are drawn on the flat patch; empty without one.
    """
    with mpl.rc_context(STYLE):
        colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(scale.low, scale.high), scale.cmap)
        drawn = [side for side in SIDES if np.isfinite(values[side]).any()] or list(SIDES)
        figure = Figure(figsize=(WIDTH, ROW * len(drawn) + 0.3))
        for row, hemisphere in enumerate(drawn):
            bottom, height = 1 - (row + 1) / len(drawn), 0.88 / len(drawn)
            axes = figure.add_axes((0.0, bottom, 0.44, height))
            part = mesh.flat.parts[SIDES[hemisphere]]
            folding = mesh.folding.data.parts[SIDES[hemisphere]]
            flat = (part.coordinates, part.faces)
            draw_flat(axes, flat, folding, values[hemisphere], rois[hemisphere], colours)
            axes.set_title(f"{hemisphere}, flat patch", fontsize=9)
            for column, view in enumerate(VIEWS):
                place = (0.43 + 0.205 * column, bottom, 0.21, height)
                axes = figure.add_axes(place, projection="3d")
                _draw_view(axes, mesh, hemisphere, view, values[hemisphere], scale)
        _draw_bar(figure, scale, colours)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=160, bbox_inches="tight")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _draw_view(
    axes: Any, mesh: Mesh, hemisphere: str, view: str, values: Array, scale: Scale
) -> None:
    """Draw the inflated hemisphere from one side."""
    from nilearn import plotting

    side = SIDES[hemisphere]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN")  # a hemisphere without scores is only grey
        plotting.plot_surf_stat_map(
            surf_mesh=mesh.surfaces.parts[side],
            stat_map=values,
            bg_map=mesh.folding.data.parts[side],
            hemi=side,
            view=view,
            cmap=scale.cmap,
            vmin=scale.low,
            vmax=scale.high,
            avg_method=None if not scale.names else "median",
            colorbar=False,
            axes=axes,
            figure=axes.figure,
        )
    axes.set_box_aspect(None, zoom=ZOOM)
    axes.set_title(view, fontsize=9)


def _draw_bar(figure: Figure, scale: Scale, colours: mpl.cm.ScalarMappable) -> None:
    place = figure.add_axes((0.88, 0.2, 0.02, 0.6))
    bar = figure.colorbar(colours, cax=place, label=scale.label)
    if scale.names:
        bar.set_ticks(list(range(len(scale.names))), labels=list(scale.names))
        bar.ax.minorticks_off()


def turn(mesh: Mesh, hemisphere: str, values: Array, limit: float, cmap: str) -> str:
    """Make a page with an interactive surface of one hemisphere; it needs no network.

    It opens on the view that shows most vertices with a value.
    """
    from nilearn import plotting

    side = SIDES[hemisphere]
    part = mesh.surfaces.parts[side]
    view = plotting.view_surf(
        part,
        np.where(np.isnan(values), 0.0, values),
        bg_map=mesh.folding.data.parts[side],
        hemi=side,
        threshold=1e-9,  # vertices without a value stay grey
        cmap=cmap,
        vmax=limit,
        colorbar_fontsize=14,
    )
    # nilearn's page names an icon on the web: this one asks for nothing.
    page = re.sub(r"<link[^>]*rel=.icon.[^>]*>", "", str(view.get_standalone()))
    direction = find_direction(part.coordinates, part.faces, ~np.isnan(values))
    return open_on(page, direction)
