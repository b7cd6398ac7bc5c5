"""Check the order of a volume's axes by its betas' zeros: they must lie outside of the brain mask.

Where X, Y and Z differ, another order shows in the shape. Where two are equal, or an axis is
reversed, only the values can tell.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.nsd.integer_betas import read_columns

if TYPE_CHECKING:
    import h5py

N_SAMPLED: Final = 2000
"""Voxels that are compared, half of them in the mask."""
TOLERATED: Final = 0.01
"""Share of the voxels outside of the mask that may have data."""


def sample_places(mask: NDArray[Any]) -> NDArray[np.int64]:
    """Choose places to compare, ascending: as many in the mask as outside, where there are."""
    rng = np.random.default_rng(0)
    sides = (np.flatnonzero(mask), np.flatnonzero(mask == 0))
    chosen = [rng.permutation(places)[: N_SAMPLED // 2] for places in sides]
    return np.sort(np.concatenate(chosen))


def check_axes(path: Path, data: "h5py.Dataset", mask_path: Path, mask: NDArray[Any]) -> None:
    """Raise InputError when betas have data outside of the brain mask.

    data: (trials, Z, Y, X). mask: (X Y Z,), 0 outside of the brain.
    """
    places = sample_places(mask)
    is_brain: NDArray[np.bool_] = mask[places].astype(bool)
    has_data: NDArray[np.bool_] = np.any(read_columns(data, places), axis=0)
    check_sample(path, mask_path, has_data, is_brain)


def check_sample(
    path: Path, mask_path: Path, has_data: NDArray[np.bool_], is_brain: NDArray[np.bool_]
) -> None:
    """Raise InputError when sampled voxels have data outside of the mask, or none inside.

    has_data: of each sampled voxel, whether any trial's beta is not 0. is_brain: whether it is in
    the mask.
    """
    outside, inside = has_data[~is_brain], has_data[is_brain]
    if len(outside) and outside.mean() > TOLERATED:
        raise InputError(
            f"{path}: {outside.sum():,} of {len(outside):,} sampled voxels outside of the brain "
            f"mask {mask_path} have betas, expected 0 there: the axes are in another order or "
            "direction; download both again, for the same subject and space"
        )
    if len(inside) and not inside.any():
        raise InputError(
            f"{path}: all betas are 0 in {len(inside):,} sampled voxels of the brain mask "
            f"{mask_path}; download both again"
        )
