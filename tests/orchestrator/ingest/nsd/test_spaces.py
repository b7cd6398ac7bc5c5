"""The native surface and volumes of NSD as the ingest reads them, session by session."""

import numpy as np
import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Findings
from orchestrator.ingest.nsd.families import find_families
from orchestrator.ingest.nsd.spaces import open_space
from orchestrator.ingest.trial_means import column_blocks
from tests.builders.nsd_spaces import (
    N_NATIVE,
    N_TRIALS,
    SHAPE,
    volume_betas,
    write_compressed,
    write_hdf5,
    write_mgh,
    write_nifti,
    write_spaces,
)

VERTICES = {"lh": np.array([1, 4, 6], np.int32), "rh": np.array([0, 9], np.int32)}
LEFT, RIGHT = 1 + 5 * (2 + 4), 4 + 5 * (3 + 4 * 2)
PLACES = {"lh": np.array([26, LEFT], np.int32), "rh": np.array([RIGHT], np.int32)}
BOTH = (N_TRIALS, N_TRIALS)


@pytest.fixture
def spaces(tmp_path):
    """Two sessions in each space, and ncsnr."""
    spaces = write_spaces(tmp_path / "source")
    native, volume, zipped = map(spaces.betas, ("nativesurface", "func1pt8mm", "func1mm"))
    for folder in (native, volume, zipped):
        folder.mkdir(parents=True)
    for session in (1, 2):
        for side, n in N_NATIVE.items():
            betas = np.arange(N_TRIALS * n).reshape(N_TRIALS, n) * session + 1
            betas[:, 4] = 0 if session == 2 else betas[:, 4]
            write_hdf5(native / f"{side}.betas_session{session:02d}.hdf5", betas)
            write_mgh(native / f"{side}.ncsnr.mgh", np.linspace(0, 1, n))
        stored = volume_betas(session)
        write_hdf5(volume / f"betas_session{session:02d}.hdf5", stored)
        write_compressed(zipped / f"betas_session{session:02d}.nii.gz", stored)
    write_nifti(volume / "ncsnr.nii.gz", np.linspace(0, 1, 60).reshape(SHAPE, order="F"), "<f4")
    other = spaces.brain_mask.parent.parent / "func1mm"
    other.mkdir()
    (other / "brainmask.nii.gz").write_bytes(spaces.brain_mask.read_bytes())
    return spaces


def opened(spaces, name, n_trials=BOTH):
    space, findings = open_space(spaces.files(name)), Findings()
    space.inspect(n_trials, findings)
    findings.raise_if_any()
    return space


def values_of(space, session, vertices):
    return {block.hemisphere: block.values for block in space.read(session, vertices)}


def test_native_betas_are_per_cent_and_lost_vertices_are_nan(spaces) -> None:
    space = opened(spaces, "nativesurface")
    first = values_of(space, 0, VERTICES)
    stored = np.arange(N_TRIALS * 10).reshape(N_TRIALS, 10) + 1
    np.testing.assert_allclose(first["rh"], stored[:, [0, 9]] / 300, rtol=1e-6)
    assert np.isnan(values_of(space, 1, VERTICES)["lh"]).all(axis=0).tolist() == [
        False,
        True,
        False,
    ]
    assert space.coordinates(VERTICES)["lh"]["native_vertex"].tolist() == [1, 4, 6]
    assert space.read_ncsnr(Findings())["lh"][-1] == 1
    assert space.notes() == []


@pytest.mark.parametrize("name", ["func1pt8mm", "func1mm"])
def test_volumes_are_read_from_either_kind_of_file(spaces, name) -> None:
    space = opened(spaces, name)
    for session in (0, 1):
        flat = volume_betas(session + 1).reshape(N_TRIALS, -1) / 300
        found = values_of(space, session, PLACES)
        np.testing.assert_allclose(found["lh"], flat[:, PLACES["lh"]], rtol=1e-6)
        np.testing.assert_allclose(found["rh"], flat[:, PLACES["rh"]], rtol=1e-6)
    voxel = {key: value.tolist() for key, value in space.coordinates(PLACES)["rh"].items()}
    assert voxel == {"voxel_i": [4], "voxel_j": [3], "voxel_k": [2]}


def test_the_places_of_betas_rois_and_ncsnr_are_the_same(spaces) -> None:
    """Betas are (Z, Y, X), ROIs and ncsnr (X, Y, Z): the voxel of V1v is marked in all three."""
    betas = volume_betas()
    betas[:, 1, 2, 1] = 3000
    write_hdf5(spaces.betas("func1pt8mm") / "betas_session01.hdf5", betas)
    space, findings = opened(spaces, "func1pt8mm"), Findings()
    rois = space.read_rois(find_families(spaces.root, "subj01", "func1pt8mm", None), findings)
    (place,) = rois.regions["lh"]["V1v"]
    assert (values_of(space, 0, {"lh": np.array([place])})["lh"] == 10).all()
    assert space.read_ncsnr(findings)["rh"][place] == pytest.approx(place / 59)


def test_saturated_betas_are_noted(spaces) -> None:
    betas = volume_betas()
    betas[0, 2, 3, 4] = -32_768
    write_hdf5(spaces.betas("func1pt8mm") / "betas_session02.hdf5", betas)
    space = opened(spaces, "func1pt8mm")
    for session in (0, 1):
        values_of(space, session, PLACES)
    (note,) = space.notes()
    assert "1 betas are saturated at ±109.2 %, in session 2;" in note


def test_blocks_cover_each_vertex_once(spaces, monkeypatch) -> None:
    monkeypatch.setattr("orchestrator.ingest.trial_means.BLOCK_BYTES", 2 * 4 * N_TRIALS)
    assert len(list(column_blocks(N_TRIALS, 3))) == 2
    for name, chosen in (("nativesurface", VERTICES), ("func1pt8mm", PLACES), ("func1mm", PLACES)):
        blocks = list(opened(spaces, name).read(0, chosen))
        for side, vertices in chosen.items():
            columns = [block.columns for block in blocks if block.hemisphere == side]
            covered = np.concatenate([np.arange(len(vertices))[part] for part in columns])
            assert covered.tolist() == list(range(len(vertices)))


def transposed(path) -> None:
    write_hdf5(path, np.ones((9, N_TRIALS)))


REFUSED = {
    "a session that is missing": (
        "nativesurface/lh.betas_session02.hdf5",
        lambda p: p.unlink(),
        "betas missing; download it again",
    ),
    "a transposed surface": (
        "nativesurface/lh.betas_session01.hdf5",
        transposed,
        "expected betas of (trials, vertices) = (6, 9), found (9, 6): the axes are in another",
    ),
    "a hemisphere in place of the other": (
        "nativesurface/rh.betas_session02.hdf5",
        lambda p: write_hdf5(p, np.ones((N_TRIALS, 9))),
        "= (6, 10), found (6, 9): of another subject or space",
    ),
    "fewer trials": (
        "nativesurface/rh.betas_session02.hdf5",
        lambda p: write_hdf5(p, np.ones((5, 10))),
        "the design has 6 trials in this session",
    ),
    "a volume on the surface": (
        "nativesurface/rh.betas_session02.hdf5",
        lambda p: write_hdf5(p, volume_betas()),
        "expected betas of (trials, vertices), found (6, 3, 4, 5)",
    ),
    "a volume with axes exchanged": (
        "func1pt8mm/betas_session02.hdf5",
        lambda p: write_hdf5(p, volume_betas().swapaxes(1, 3)),
        "expected betas of (trials, Z, Y, X) = (6, 3, 4, 5), found (6, 5, 4, 3): the axes",
    ),
    "a volume that is turned": (
        "func1pt8mm/betas_session02.hdf5",
        lambda p: write_hdf5(p, volume_betas()[:, ::-1, ::-1]),
        "sampled voxels outside of the brain mask",
    ),
    "a compressed volume with axes exchanged": (
        "func1mm/betas_session01.nii.gz",
        lambda p: write_compressed(p, volume_betas().swapaxes(1, 3)),
        "found (3, 4, 5, 6): the axes are in another order",
    ),
    "a session that was not downloaded": (
        "func1mm/betas_session01.nii.gz",
        lambda p: p.write_bytes(b""),
        "missing: an empty file; download it again",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_malformed_sessions_are_refused_in_a_line(case, spaces) -> None:
    name, damage, text = REFUSED[case]
    space, _, file = name.partition("/")
    damage(spaces.betas(space) / file)
    with pytest.raises(InputError) as refused:
        opened(spaces, space)
    (line,) = refused.value.lines
    assert text in line, line
    assert file in line
    assert ";" in line


@pytest.mark.parametrize("axes", [(0, 1, 3, 2), (0, 2, 1, 3), (0, 3, 2, 1)])
def test_exchanged_axes_of_equal_length_are_refused_by_the_brain_mask(axes, spaces) -> None:
    """The brain is as wide as the volume along x, and less so along y and z."""
    brain = np.zeros((6, 6, 6))
    brain[:, 1:5, 2:4] = 1
    write_nifti(spaces.brain_mask, brain, np.uint8)
    stored = np.broadcast_to(brain.T, (N_TRIALS, 6, 6, 6))
    for session, turned in ((1, stored), (2, stored.transpose(axes))):
        write_hdf5(spaces.betas("func1pt8mm") / f"betas_session{session:02d}.hdf5", turned)
    with pytest.raises(InputError) as refused:
        opened(spaces, "func1pt8mm")
    (line,) = refused.value.lines
    assert "betas_session02.hdf5" in line
    assert "the axes are in another order or direction; download both again" in line


def test_no_brain_mask_is_one_problem(spaces) -> None:
    spaces.brain_mask.unlink()
    with pytest.raises(InputError) as refused:
        opened(spaces, "func1pt8mm")
    (line,) = refused.value.lines
    assert "brainmask.nii.gz: brain mask missing; download it again" in line


def test_a_turned_compressed_volume_is_refused_when_it_is_read(spaces) -> None:
    path = spaces.betas("func1mm") / "betas_session02.nii.gz"
    write_compressed(path, volume_betas()[:, ::-1, ::-1])
    space = opened(spaces, "func1mm")
    assert values_of(space, 0, PLACES)
    with pytest.raises(InputError, match=r"session02.nii.gz: .* outside of the brain mask"):
        values_of(space, 1, PLACES)
