"""Write simulated betas as NSD does for the native surface and for volumes: int16, 300 a per cent.

::

    lh.betas_session01.hdf5    betas (trials, vertices) as h5py shows them, a chunk a vertex
    betas_session01.hdf5       betas (trials, Z, Y, X), a chunk a voxel
    betas_session01.nii.gz     (X, Y, Z, trials)

What has no data is 0: voxels outside of the brain, and whatever is lost in a session.
"""

from pathlib import Path
from typing import Any, Final

import h5py
import nibabel
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

PER_CENT: Final = 300
HIGHEST: Final = 32_767


def stored(betas: Array) -> Array:
    """Convert betas in per cent, NaN where there are none, to int16."""
    found: Array = np.nan_to_num(np.rint(PER_CENT * betas), nan=0).clip(-HIGHEST, HIGHEST)
    return found.astype(np.int16)


def write_hdf5(path: Path, betas: Array) -> None:
    """Write stored betas, (n_trials, …), in chunks of all trials of a vertex or voxel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        chunks = (len(betas), *(1,) * (betas.ndim - 1))
        file.create_dataset("betas", data=betas, chunks=chunks)


def write_volume(path: Path, values: Array) -> None:
    """Write a volume, (X, Y, Z) or (X, Y, Z, n_trials), as a NIfTI file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(path)
