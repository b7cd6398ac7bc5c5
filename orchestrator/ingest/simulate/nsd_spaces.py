"""Write a simulated NSD subject's betas, ncsnr and volumes in the spaces beside fsaverage.

Each vertex of the planted cortex is one vertex of the subject's own surface, and one voxel of each
volume; the voxels are drawn at random in the subject's half of the brain. Other vertices and voxels
of the brain have only noise.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from orchestrator.ingest.simulate.algonauts import subject_name
from orchestrator.ingest.simulate.nsd_ground_truth import PlantedVertices
from orchestrator.ingest.simulate.nsd_integers import stored, write_hdf5, write_volume
from orchestrator.ingest.simulate.nsd_labels import (
    N_NATIVE,
    family_labels,
    native_vertices,
    save_mgh,
)
from trainables.spec.rois import HEMISPHERES

Array = np.ndarray[Any, np.dtype[Any]]
Planted = Mapping[str, PlantedVertices]
Sessions = Iterator[Mapping[str, Array]]
"""Of each session, the betas of each hemisphere's cortex in per cent: (n_trials, n_vertices)."""
Volume = Literal["func1pt8mm", "func1mm"]

SHAPES: Final[Mapping[Volume, tuple[int, int, int]]] = {
    "func1pt8mm": (17, 21, 13),
    "func1mm": (19, 23, 14),
}
"""X, Y, Z. The outermost voxels, and the middle one of X, are outside of the brain."""
COMPRESSED: Final = "func1mm"
"""The volume whose betas are written as NIfTI files, the other's as HDF5 files."""
NO_CORTEX: Final = -1


def write_native(
    folder: Path, subject: int, planted: Planted, sessions: Sessions, seed: int
) -> None:
    """Write betas and ncsnr on the subject's own surface.

    folder: of the betas.
    """
    own = {
        side: native_vertices(seed, subject, side)[half.cortex.fsaverage]
        for side, half in planted.items()
    }
    for side, half in planted.items():
        ncsnr = np.zeros(N_NATIVE, np.float32)
        ncsnr[own[side]] = half.ncsnr
        save_mgh(folder / f"{side}.ncsnr.mgh", ncsnr)
    for session, betas in enumerate(sessions, start=1):
        for side, values in betas.items():
            place = HEMISPHERES.index(side)
            rng = np.random.default_rng([seed, subject, place, session, 14])
            surface = rng.standard_normal((len(values), N_NATIVE), dtype=np.float32)
            surface[:, own[side]] = values
            write_hdf5(folder / f"{side}.betas_session{session:02d}.hdf5", stored(surface))


def brain_of(space: Volume) -> Array:
    """Return which voxels are in the brain: (X, Y, Z) of bool."""
    shape = SHAPES[space]
    brain = np.zeros(shape, bool)
    brain[1:-1, 1:-1, 1:-1] = True
    brain[shape[0] // 2] = False
    return brain


def voxels_of(space: Volume, subject: int, hemisphere: str, n_vertices: int, seed: int) -> Array:
    """Return the x, y and z of each vertex of the cortex: (3, n_vertices); none twice."""
    side = np.arange(SHAPES[space][0]) < SHAPES[space][0] // 2
    inside = brain_of(space) & (side if hemisphere == "lh" else ~side)[:, None, None]
    place = HEMISPHERES.index(hemisphere)
    rng = np.random.default_rng([seed, subject, place, list(SHAPES).index(space), 15])
    return rng.permutation(np.argwhere(inside))[:n_vertices].T


def write_volumes(
    root: Path, folder: Path, space: Volume, subject: int, planted: Planted, seed: int
) -> None:
    """Write a volume's brain mask, ROIs and ncsnr.

    root: of the data set; folder: of the betas.
    """
    home = root / "nsddata" / "ppdata" / subject_name(subject) / space
    brain = brain_of(space)
    write_volume(home / "brainmask.nii.gz", brain.astype(np.uint8))
    ncsnr = np.where(brain, np.float32(0), np.float32(np.nan))
    merged: dict[str, Array] = {}
    for side, half in planted.items():
        voxels = tuple(voxels_of(space, subject, side, half.cortex.n_vertices, seed))
        ncsnr[voxels] = half.ncsnr
        for family, labels in family_labels(half).items():
            volume = np.full(brain.shape, NO_CORTEX, np.int16)
            volume[voxels] = labels
            write_volume(home / "roi" / f"{side}.{family}.nii.gz", volume)
            merged[family] = np.maximum(merged.get(family, volume), volume)
    for family, volume in merged.items():
        write_volume(home / "roi" / f"{family}.nii.gz", volume)
    write_volume(folder / "ncsnr.nii.gz", ncsnr)


def write_volume_betas(
    folder: Path, space: Volume, subject: int, planted: Planted, sessions: Sessions, seed: int
) -> None:
    """Write a volume's betas to their folder."""
    brain = brain_of(space)
    for session, betas in enumerate(sessions, start=1):
        rng = np.random.default_rng([seed, subject, session, list(SHAPES).index(space), 16])
        n_trials = len(next(iter(betas.values())))
        values = rng.standard_normal((n_trials, *brain.shape), dtype=np.float32)
        values[:, ~brain] = np.nan
        for side, of_side in betas.items():
            n_vertices = planted[side].cortex.n_vertices
            x, y, z = voxels_of(space, subject, side, n_vertices, seed)
            values[:, x, y, z] = of_side
        whole = stored(values)
        if space == COMPRESSED:
            write_volume(folder / f"betas_session{session:02d}.nii.gz", np.moveaxis(whole, 0, -1))
        else:
            write_hdf5(folder / f"betas_session{session:02d}.hdf5", whole.transpose(0, 3, 2, 1))
