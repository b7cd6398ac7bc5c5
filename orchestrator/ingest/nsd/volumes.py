"""Read volumes from NIfTI files: ROI labels, brain masks, ncsnr.

A voxel is identified by its place, x + X (y + Y z) with x, y and z from 0: the order of the values
in NIfTI files, and of the last three axes of betas as h5py shows them, (Z, Y, X).
"""

from pathlib import Path
from typing import Any, Final

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import require_file
from orchestrator.ingest.nsd.surface_maps import whole_numbers

NO_CORTEX: Final = -1
"""Label of voxels that are not in the cortex of this hemisphere; 0 is cortex without a label."""
VOXEL_AXES: Final = ("voxel_i", "voxel_j", "voxel_k")
Shape = tuple[int, int, int]
"""X, Y, Z."""


def open_nifti(path: Path, what: str) -> Nifti1Image:
    """Open a NIfTI file without reading its values; raise InputError for another kind of file."""
    require_file(path, what)
    try:
        image = nibabel.load(path)
        if not isinstance(image, Nifti1Image):
            raise TypeError(f"a {type(image).__name__}")
    except Exception as error:  # a damaged header raises nearly anything
        raise InputError(_damaged(path, what, error)) from error
    return image


def _damaged(path: Path, what: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return (
        f"{path}: expected {what} as a NIfTI file, found a damaged or other file ({reason}); "
        "download it again"
    )


def volume_shape(path: Path, what: str) -> Shape:
    """Read the X, Y, Z of a volume; raise InputError unless it has three axes."""
    shape = open_nifti(path, what).shape
    if len(shape) != 3:
        raise InputError(f"{path}: expected {what} of (X, Y, Z), found {shape}; download it again")
    return shape


def read_volume(path: Path, what: str, shape: Shape | None = None) -> NDArray[Any]:
    """Read the value of each place: (X Y Z,).

    shape: X, Y, Z of the betas; None for any. Raises InputError for another shape or a damaged
    file.
    """
    found = volume_shape(path, what)
    if shape is not None and found != shape:
        reason = "in another order of axes" if sorted(found) == sorted(shape) else "another space's"
        raise InputError(
            f"{path}: {what} of (X, Y, Z) = {found}, but the betas have {shape}: {reason}; "
            "download both again, for the same subject and space"
        )
    try:
        values = np.asanyarray(open_nifti(path, what).dataobj)
    except Exception as error:  # NumPy, zlib and nibabel raise many types for truncated files
        raise InputError(_damaged(path, what, error)) from error
    return values.reshape(-1, order="F")


def read_volume_labels(path: Path, shape: Shape | None = None) -> NDArray[np.int32]:
    """Read the label of each place: (X Y Z,), NO_CORTEX outside of the hemisphere's cortex.

    Raises InputError for values that are not whole numbers from NO_CORTEX on.
    """
    values = read_volume(path, "ROI labels", shape)
    return whole_numbers(path, values, NO_CORTEX, f"ROI labels from {NO_CORTEX} on")


def voxel_indices(places: NDArray[np.integer[Any]], shape: Shape) -> dict[str, NDArray[np.int32]]:
    """Return voxel_i, voxel_j and voxel_k, x, y and z from 0, of places."""
    axes = np.unravel_index(places, shape, order="F")
    return {name: axis.astype(np.int32) for name, axis in zip(VOXEL_AXES, axes, strict=True)}
