"""Select the vertices of each ROI with the highest pRF R²."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.nod.atlas import Regions
from orchestrator.ingest.nod.cifti import STRUCTURES, Maps, open_scalars
from trainables.spec.rois import NOD_ROIS

R2_ROW: Final = 3
"""Index of the map of R² in the pRF file."""


@dataclass(frozen=True)
class Kept:
    """The selected vertices of one hemisphere, in the order of the beta files' columns."""

    columns: NDArray[np.int32]
    """Their columns in the beta files, ascending."""
    vertices: NDArray[np.int32]
    """Their vertices of the mesh."""
    r2: NDArray[np.float32]
    regions: Mapping[str, NDArray[np.int32]]
    """Indices of each ROI's vertices among the selected ones, ascending."""


def read_prf_r2(path: Path, betas: Maps) -> dict[str, NDArray[np.float32]]:
    """Read R² of the pRF model at each vertex of the betas, in the order of their columns.

    Raises InputError when the file can't be read, lacks the map, or has other vertices.
    """
    maps = open_scalars(path, "pRF parameters")
    if maps.n_maps <= R2_ROW:
        raise InputError(
            f"{path}: {maps.n_maps} maps; expected more than {R2_ROW}, of which number {R2_ROW} "
            "(from 0) is R²: download it again"
        )
    found, expected = maps.grayordinates, betas.grayordinates
    if not found.same_vertices(expected):
        raise InputError(
            f"{path}: {found.counted()}, but {betas.path} has {expected.counted()}; expected the "
            "same vertices: download both again, from the same subject"
        )
    values = maps.values()[R2_ROW]
    return {
        side: values[found.columns[side]][_places(found.vertices[side], expected.vertices[side])]
        .astype(np.float32)
        for side in STRUCTURES
    }  # fmt: skip


def _places(vertices: NDArray[np.int32], wanted: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return the index of each wanted vertex in vertices, which must contain them all."""
    order = np.argsort(vertices)
    found: NDArray[np.intp] = order[np.searchsorted(vertices, wanted, sorter=order)]
    return found


def keep_best(
    betas: Maps, r2: Mapping[str, NDArray[np.float32]], regions: Regions, top: int
) -> dict[str, Kept]:
    """Select the top vertices of each ROI and hemisphere by R², or all if there are fewer.

    r2: one value per column of a hemisphere; vertices with NaN are never selected. Ties are broken
    by the order of columns. Raises InputError naming the ROIs without a vertex.
    """
    kept, complaints = {}, []
    for side in STRUCTURES:
        columns = betas.grayordinates.columns[side]
        vertices = betas.grayordinates.vertices[side]
        chosen: dict[str, NDArray[np.intp]] = {}
        for roi in NOD_ROIS:
            places = np.flatnonzero(np.isin(vertices, regions[side][roi]))
            chosen[roi] = best(r2[side], places, top)
            if not len(chosen[roi]):
                why = "all without a pRF R²" if len(places) else "none in the atlas"
                complaints.append(
                    f"{betas.path}: no vertex of {side} {roi} among its grayordinates "
                    f"({len(places):,} there, {why}); give another --atlas, or leave the subject "
                    "out of --subjects"
                )
        taken = np.sort(np.concatenate(list(chosen.values())))
        kept[side] = Kept(
            columns=columns[taken],
            vertices=vertices[taken],
            r2=r2[side][taken],
            regions={
                roi: np.searchsorted(taken, places).astype(np.int32)
                for roi, places in chosen.items()
            },
        )
    if complaints:
        raise InputError(*complaints)
    return kept


def best(r2: NDArray[np.float32], places: NDArray[np.intp], top: int) -> NDArray[np.intp]:
    """Return the indices of the top vertices by R², ascending; fewer if fewer have an R²."""
    measured = places[np.isfinite(r2[places])]
    ranked = measured[np.argsort(-r2[measured], kind="stable")]
    return np.sort(ranked[:top])
