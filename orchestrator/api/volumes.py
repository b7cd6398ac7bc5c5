"""Values of voxels in a volume, as NIfTI images."""

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from orchestrator.api.locations import Location

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

VOXEL: Final = ("voxel_i", "voxel_j", "voxel_k")


def volume_image(values: pd.DataFrame, column: str = "r", *, like: Location) -> "Nifti1Image":
    """Put one value per voxel into a volume, as an image that nilearn draws as slices.

    values: rows with voxel_i, voxel_j, voxel_k (places from 0 along the axes of the subject's NIfTI
    files) and the column, such as those of :func:`vertex_scores` for one method and subject;
    several rows of a voxel (of overlapping ROIs) are averaged. like: a NIfTI file of that space,
    such as the subject's brain mask, whose shape and affine the image has; nilearn's
    ``plotting.plot_stat_map(image, bg_img=…)`` draws it. Voxels without a value are NaN. Raises
    ValueError for a column that is missing, a volume that lacks a voxel, or if no row has a value.
    """
    import nibabel

    absent = [one for one in (*VOXEL, column) if one not in values.columns]
    if absent:
        raise ValueError(f"values: expected a column {absent[0]}; there are {list(values.columns)}")
    known = values.dropna(subset=[*VOXEL, column])
    if known.empty:
        raise ValueError(f"values: none of {len(values):,} rows has a voxel and {column}")
    reference = nibabel.load(like)
    shape = reference.shape[:3]  # type: ignore[attr-defined]
    means = known.groupby(list(VOXEL), observed=True)[column].mean()
    places = np.array(means.index.to_list(), np.int64)
    if (places.max(axis=0) >= shape).any():
        raise ValueError(
            f"{like}: a volume of {shape}, but values have a voxel at {tuple(places.max(axis=0))}; "
            "give a file of the same subject and space"
        )
    filled = np.full(shape, np.nan, np.float32)
    filled[tuple(places.T)] = means.to_numpy(np.float32)
    return nibabel.Nifti1Image(filled, reference.affine)  # type: ignore[attr-defined]
