"""Read ``ncsnr``, the signal-to-noise ratio that NSD publishes with its betas.

::

    BETAS/{lh,rh}.ncsnr.mgh        on fsaverage and on the native surface
    BETAS/ncsnr.nii.gz             in volumes
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.noise_ceilings import ceiling_of, check_ncsnr, noise_left
from orchestrator.ingest.nsd.surface_maps import read_surface_map
from orchestrator.ingest.nsd.volumes import Shape, read_volume

FORMULA: Final = (
    "r = sqrt(s^2 / (s^2 + m)); s: ncsnr as released; m: mean over test images of 1 / trials, "
    "in sessions in which the vertex has data"
)
"""How noise ceilings are computed, as manifests record it."""
WHAT: Final = "ncsnr"


def read_surface_ncsnr(path: Path, n_vertices: int) -> NDArray[np.floating[Any]]:
    """Read ncsnr of each vertex of a hemisphere: (n_vertices,), NaN where not known.

    Raises InputError for another number of vertices, or values that can't be.
    """
    return _checked(path, read_surface_map(path, WHAT, n_vertices))


def read_volume_ncsnr(path: Path, shape: Shape) -> NDArray[np.floating[Any]]:
    """Read ncsnr of each place of a volume: (X Y Z,), NaN where not known; raises as above."""
    return _checked(path, read_volume(path, WHAT, shape))


def _checked(path: Path, values: NDArray[Any]) -> NDArray[np.floating[Any]]:
    if values.dtype.kind != "f":
        raise InputError(
            f"{path}: expected {WHAT} as floats, found {values.dtype}; download it again"
        )
    check_ncsnr(path, values)
    return values


def noise_left_by_vertex(
    counts: NDArray[np.integer[Any]], is_valid: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Compute the share of a trial's noise variance that is left in responses: (n_vertices,).

    It is the mean of 1 / trials over the images that have any in sessions with data. counts:
    (n_images, n_sessions), trials of each image. is_valid: (n_sessions, n_vertices), whether a
    vertex has data in a session. NaN for a vertex without any trial.
    """
    patterns, pattern_of = np.unique(is_valid, axis=1, return_inverse=True)
    trials = counts @ patterns.astype(np.int64)
    left = [noise_left(of[of > 0]) if of.any() else np.nan for of in trials.T]
    return np.array(left)[pattern_of.reshape(-1)]


def ceilings_of_means(
    ncsnr: NDArray[np.floating[Any]],
    counts: NDArray[np.integer[Any]],
    is_valid: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Compute the highest r that a perfect model can reach: (n_vertices,), by FORMULA.

    ncsnr: (n_vertices,). counts, is_valid: as of `noise_left_by_vertex`, for the test images.
    """
    return ceiling_of(ncsnr, noise_left_by_vertex(counts, is_valid)).astype(np.float32)
