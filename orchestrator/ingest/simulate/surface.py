"""The simulated grayordinates of a NOD folder: V1 to V4 of the HCP-MMP atlas on the fsLR mesh.

As in the real data, all subjects have the same ones, since they are registered to one mesh.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from nibabel.cifti2.cifti2_axes import BrainModelAxis

from orchestrator.ingest.nod.atlas import KEYS, N_AREAS
from orchestrator.ingest.nod.cifti import STRUCTURES
from trainables.spec.rois import HEMISPHERES

Array = np.ndarray[Any, np.dtype[Any]]

N_MESH: Final = 32_492
"""Vertices of a hemisphere of the 32k fsLR mesh."""
AREA_SIZES: Final[Mapping[str, Mapping[str, int]]] = {
    "lh": {"V1": 150, "V2": 130, "V3": 90, "V4": 44},
    "rh": {"V1": 155, "V2": 126, "V3": 94, "V4": 52},
}
"""Vertices of each area; the left V4 has fewer than the paper keeps."""
OTHER_AREA: Final = ("MST", 2, 40)
"""Name, key and size of an area that ingest ignores; its vertices have only noise."""
N_UNLABELLED: Final = 25
N_SUBCORTICAL: Final = 12
"""Grayordinates of the thalamus, which are in the pRF file but not in the betas."""


@dataclass(frozen=True)
class SimulatedSurface:
    """One hemisphere's grayordinates."""

    vertices: Array
    """(n,) vertices of the mesh, ascending."""
    area: Array
    """(n,) name of the area of each vertex, or an empty string."""

    def places(self, area: str) -> Array:
        """List the indices of an area's vertices, ascending."""
        return np.flatnonzero(self.area == area)


def build_surface(seed: int, hemisphere: str) -> SimulatedSurface:
    """Scatter the areas over the mesh."""
    rng = np.random.default_rng([seed, HEMISPHERES.index(hemisphere), 21])
    sizes = {**AREA_SIZES[hemisphere], OTHER_AREA[0]: OTHER_AREA[2], "": N_UNLABELLED}
    area = np.repeat(list(sizes), list(sizes.values()))
    vertices = np.sort(rng.choice(N_MESH, len(area), replace=False))
    return SimulatedSurface(vertices, rng.permutation(area))


def brain_models(surfaces: Mapping[str, SimulatedSurface]) -> BrainModelAxis:
    """Return the CIFTI axis of the cortex of both hemispheres, left before right."""
    left, right = (
        BrainModelAxis.from_surface(surfaces[side].vertices, N_MESH, name=STRUCTURES[side])
        for side in HEMISPHERES
    )
    both: BrainModelAxis = left + right
    return both


def with_subcortex(cortex: BrainModelAxis) -> BrainModelAxis:
    """Add grayordinates that are not vertices."""
    voxels = np.stack([np.arange(N_SUBCORTICAL), *np.zeros((2, N_SUBCORTICAL))], axis=1)
    everywhere: BrainModelAxis = cortex + BrainModelAxis(
        name=["CIFTI_STRUCTURE_THALAMUS_LEFT"] * N_SUBCORTICAL,
        voxel=voxels.astype(int),
        affine=np.diag([2.0, 2.0, 2.0, 1.0]),
        volume_shape=(N_SUBCORTICAL, 4, 4),
    )
    return everywhere


def label_names() -> dict[int, str]:
    """Return the labels of the simulated atlas by key: ``L_V1_ROI`` is 1, ``R_V1_ROI`` 181."""
    keys = {**KEYS, OTHER_AREA[0]: OTHER_AREA[1]}
    return {0: "???"} | {
        key + raised: f"{mark}_{area}_ROI"
        for mark, raised in (("L", 0), ("R", N_AREAS))
        for area, key in keys.items()
    }


def label_vertices(surfaces: Mapping[str, SimulatedSurface]) -> Array:
    """Return the key of each cortical grayordinate, left before right; 0 without a label."""
    keys = {name: key for key, name in label_names().items()}
    return np.array(
        [
            keys[f"{side[0].upper()}_{area}_ROI"] if area else 0
            for side in HEMISPHERES
            for area in surfaces[side].area
        ],
        np.int32,
    )
