"""Values of voxels become a volume with the shape and affine of the subject's files."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from orchestrator.api import volume_image

ROWS = [(1, 2, 3, 0.5), (4, 0, 1, 0.1), (4, 0, 1, 0.3), (0, 0, 0, np.nan)]
AFFINE = np.diag([1.8, -1.8, 1.8, 1]) + np.eye(4, k=3)


@pytest.fixture
def values() -> pd.DataFrame:
    frame = pd.DataFrame(ROWS, columns=["voxel_i", "voxel_j", "voxel_k", "r"])
    return frame.astype(dict.fromkeys(frame.columns[:3], "Int32"))


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    path = tmp_path / "brainmask.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones((5, 4, 6), np.int16), AFFINE), path)
    return path


def test_values_are_at_their_voxels_and_overlaps_are_averaged(values, mask) -> None:
    image = volume_image(values, like=mask)
    found = image.get_fdata()
    assert found.shape == (5, 4, 6)
    np.testing.assert_array_equal(image.affine, nibabel.load(mask).affine)
    assert np.argwhere(np.isfinite(found)).tolist() == [[1, 2, 3], [4, 0, 1]]
    assert found[1, 2, 3] == pytest.approx(0.5)
    assert found[4, 0, 1] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.drop(columns="voxel_j"), "expected a column voxel_j"),
        (lambda v: v.assign(voxel_k=6), r"a volume of \(5, 4, 6\), but values have a voxel at"),
        (lambda v: v.assign(r=np.nan), "none of 4 rows has a voxel and r"),
    ],
)
def test_values_that_no_voxel_has_are_refused(values, mask, change, message) -> None:
    with pytest.raises(ValueError, match=message):
        volume_image(change(values), like=mask)
