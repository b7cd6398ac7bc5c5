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
from orchestrator.ingest.noise_ceilings import check_ncsnr
from orchestrator.ingest.nsd.surface_maps import read_surface_map
from orchestrator.ingest.nsd.volumes import Shape, read_volume

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
