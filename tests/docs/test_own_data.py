"""The how-tos of docs/own-data.md turn files of BOLD5000 and THINGS-fMRI into shards."""

import re
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.builders.own_folder import ingest_own
from tests.docs.documented_lab import working_in
from trainables.data.loading import read_subject

PAGE = Path(__file__).parents[2] / "docs" / "own-data.md"
BLOCK = re.compile(r"^```\{code-block\} python\n:name: (\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
N_IMAGES, SIZE = 24, 8


def run(name: str) -> None:
    exec(compile(BLOCKS[name], name, "exec"), {})


def save_images(folder: Path, names: list[str]) -> None:
    rng = np.random.default_rng(3)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)).save(path)


def save_volume(path: Path, values: np.ndarray) -> None:
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)


@pytest.fixture
def bold5000(tmp_path):
    """Two sessions of 20 trials; images 0 to 11 are shown twice, and are repeated stimuli."""
    source, rng = tmp_path / "BOLD5000", np.random.default_rng(0)
    names = [f"image{number}.png" for number in range(N_IMAGES)]
    save_images(
        source / "Presented_Stimuli",
        [f"{'Scene' if n % 2 else 'COCO'}/{one}" for n, one in enumerate(names)],
    )
    shown = rng.permutation([*names, *names[:12]]).tolist()
    (source / "CSI1_imgnames.txt").write_text("\n".join(shown) + "\n")
    (source / "repeated_stimuli_113_list.txt").write_text("\n".join(names[:12]))
    grid, betas = (4, 5, 3), rng.standard_normal((4, 5, 3, 36)).astype(np.float32)
    for number, first in enumerate((0, 20), start=1):
        name = f"CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_ses-{number:02d}.nii.gz"
        save_volume(source / name, betas[..., first : min(first + 20, 36)])
    for name, x in (("LHEarlyVis", 0), ("RHEarlyVis", 2), ("LHLO", 1), ("RHRRSC", 3)):
        mask = np.zeros(grid, np.int16)
        mask[x, :2] = 1
        save_volume(source / f"sub-CSI1_mask-{name}.nii.gz", mask)
    return tmp_path, shown, betas


def test_bold5000_becomes_shards(bold5000) -> None:
    home, shown, betas = bold5000
    with working_in(home):
        run("bold5000")
    manifests, _ = ingest_own(home / "bold5000", home / "data", zscore="none")
    assert manifests["sub-CSI1"].rois == {
        "lh": {"EarlyVis": 6, "LOC": 6},
        "rh": {"EarlyVis": 6, "RSC": 6},
    }
    assert (manifests["sub-CSI1"].n_train, manifests["sub-CSI1"].n_test) == (12, 12)
    found = read_subject(home / "data" / "bold5000-sub-CSI1").responses["lh"]
    voxels = betas[:2, :2].reshape(12, 36)  # x = 0 and 1, in the order of the grid
    names = sorted(set(shown))
    expected = [
        voxels[:, [i for i, one in enumerate(shown) if one == name]].mean(axis=1) for name in names
    ]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.fixture
def things(tmp_path, monkeypatch):
    """Training images once, two test images six times; the responses as pandas would read them."""
    source, rng = tmp_path / "betas_csv", np.random.default_rng(1)
    source.mkdir()
    names = [f"thing_{number:02d}s.png" for number in range(N_IMAGES)]
    save_images(tmp_path / "object_images", [f"thing_{n:02d}/{one}" for n, one in enumerate(names)])
    shown = rng.permutation([*range(2, N_IMAGES), *[0, 1] * 6])
    trials = {
        "trial_type": np.where(shown < 2, "test", "train"),
        "session": np.arange(34) // 17 + 1,
        "run": 1,
        "subject_id": 1,
        "trial_id": np.arange(34),
        "stimulus": [names[n] for n in shown],
        "concept": [f"thing_{n:02d}" for n in shown],
    }
    pd.DataFrame(trials).to_csv(source / "sub-01_StimulusMetadata.csv", index=False)
    regions = ("V1", "V2", "V3", "hV4", "LO1 (prf)", "lEBA", "rEBA", "lFFA", "rFFA", "lPPA", "rPPA")
    voxels = pd.DataFrame(
        {
            "voxel_id": np.arange(30),
            **{f"voxel_{axis}": np.arange(30) for axis in "xyz"},
            "nc_singletrial": 5.0,
            "nc_testset": 36.0,
            **{name: np.arange(30) // 2 == place for place, name in enumerate(regions)},
            "two\nlines": 0,
        }
    )
    voxels.to_csv(source / "sub-01_VoxelMetadata.csv", index=False)
    values = rng.standard_normal((30, 34))
    responses = pd.DataFrame(values).rename_axis(columns=None).reset_index(names="voxel_id")
    (source / "sub-01_ResponseData.h5").write_bytes(b"a pandas HDF, which needs PyTables")
    monkeypatch.setattr(pd, "read_hdf", lambda path: responses if path.exists() else None)
    return tmp_path, shown, values


def test_things_becomes_shards(things) -> None:
    home, shown, values = things
    with working_in(home):
        run("things")
    manifests, _ = ingest_own(home / "things", home / "data", zscore="none")
    manifest = manifests["sub-01"]
    assert manifest.rois["both"] == {
        "V1": 2,
        "V2": 2,
        "V3": 2,
        "hV4": 2,
        "LO1": 2,
        "EBA": 4,
        "FFA": 4,
        "PPA": 4,
    }
    assert (manifest.n_train, manifest.n_test) == (22, 2)
    found = read_subject(home / "data" / "things-sub-01")
    order = [int(row) for row in dict.fromkeys(shown)]
    expected = [values[:22, shown == image].mean(axis=1) for image in order]
    np.testing.assert_allclose(found.responses["both"], expected, atol=1e-5)
    rows = pd.read_parquet(home / "data" / "things-sub-01" / "vertices.parquet")
    np.testing.assert_allclose(rows["noise_ceiling"], 0.6, rtol=1e-6)
