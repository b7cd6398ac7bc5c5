"""The files of a simulated NOD folder, what is planted in them, and refusals."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.ingest.__main__ import main
from orchestrator.ingest.simulate.algonauts import N_STIMULI
from orchestrator.ingest.simulate.nod import PICTURE_SIZES, simulate_nod
from orchestrator.ingest.simulate.nod_ground_truth import (
    FIRST_STIMULUS,
    STIMULI_OF_SUBJECT,
    NodSimulation,
    choose_stimuli,
    plant_nod,
)
from orchestrator.ingest.simulate.pretrained_weights import FIRST_STIMULUS as FIRST_OF_PRETRAINING
from orchestrator.ingest.simulate.pretrained_weights import PretrainingSettings
from orchestrator.ingest.simulate.scenes import compose, render
from tests.builders.nod_folder import RUNS, SETTINGS, NodFolder, planted, read
from trainables.spec.rois import HEMISPHERES, NOD_ROIS


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> NodFolder:
    root = tmp_path_factory.mktemp("nod") / "source"
    simulate_nod(root, SETTINGS)
    return NodFolder(root)


def hashes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_same_settings_give_the_same_bytes_whatever_other_subjects(folder, tmp_path) -> None:
    simulate_nod(tmp_path / "alone", replace(SETTINGS, subjects=(2,)))
    both, alone = hashes(folder.root), hashes(tmp_path / "alone")
    assert len(both) == 2 + 2 * (1 + 3 * len(RUNS) + SETTINGS.n_images)
    del alone["simulation.json"]
    assert len(alone) == 2 + 3 * len(RUNS) + SETTINGS.n_images
    assert alone.items() <= both.items()


def test_another_seed_gives_other_files(folder, tmp_path) -> None:
    simulate_nod(tmp_path / "other", replace(SETTINGS, subjects=(1,), seed=1))
    name = folder.betas().relative_to(folder.root)
    assert (tmp_path / "other" / name).read_bytes() != folder.betas().read_bytes()


def test_an_earlier_simulation_is_kept_and_another_ones_folder_refused(folder) -> None:
    before = hashes(folder.root)
    simulate_nod(folder.root, SETTINGS)
    assert hashes(folder.root) == before
    with pytest.raises(ValueError, match=r"holds the simulation .*; give another --out"):
        simulate_nod(folder.root, replace(SETTINGS, seed=1))


def test_images_are_jpegs_of_imagenets_sizes_and_each_is_shown_once(folder) -> None:
    paths = sorted((folder.root / "stimuli").rglob("*.JPEG"))
    assert len(paths) == 2 * SETTINGS.n_images
    sizes = set()
    for path in paths:
        assert path.parent.name == path.name.split("_")[0]
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            sizes.add(image.size)
    assert sizes <= set(PICTURE_SIZES)
    assert len(sizes) > 2
    shown = [name for run in RUNS for name in folder.labels(*run).read_text().split()]
    assert len(set(shown)) == len(shown) == SETTINGS.n_images


def test_stimuli_are_no_nsd_subjects_and_pretraining_has_not_seen_them() -> None:
    settings = PretrainingSettings()
    last = FIRST_OF_PRETRAINING + settings.n_train + settings.n_test
    assert max(last, N_STIMULI) < FIRST_STIMULUS
    chosen = [set(choose_stimuli(subject, SETTINGS).tolist()) for subject in range(1, 10)]
    assert len(set.union(*chosen)) == 9 * SETTINGS.n_images
    assert all(
        FIRST_STIMULUS + k * STIMULI_OF_SUBJECT <= min(stimuli) for k, stimuli in enumerate(chosen)
    )


@pytest.mark.parametrize("side", HEMISPHERES)
def test_r2_is_planted_higher_where_there_is_less_noise(folder, side) -> None:
    half = planted()[side]
    values, _, columns = read(folder.prf)
    kind = "LEFT" if side == "lh" else "RIGHT"
    r2 = values[3, columns.name == f"CIFTI_STRUCTURE_CORTEX_{kind}"]
    early = np.isin(half.surface.area, NOD_ROIS)
    np.testing.assert_allclose(r2[early], 100 * half.noise_ceiling[early] ** 2, rtol=1e-6)
    assert (r2[early] >= 36 - 1e-4).all()
    assert (r2[half.surface.area == "MST"] <= 5).all()
    assert np.isnan(r2[half.surface.area == ""]).all()
    assert np.isnan(values[:, columns.name == "CIFTI_STRUCTURE_THALAMUS_LEFT"]).all()


def test_the_noise_ceiling_is_the_correlation_of_signal_and_response() -> None:
    """With the ceiling at 1 there is only signal, of the same draw."""
    settings = replace(SETTINGS, n_images=240, noise_ceiling=(0.5, 0.9))
    stimuli = choose_stimuli(1, settings).tolist()
    images = [render(compose(0, k), 32) for k in stimuli]
    measured = plant_nod(1, images, settings)["lh"]
    clean = plant_nod(1, images, replace(settings, noise_ceiling=(1.0, 1.0)))["lh"]
    early = np.flatnonzero(np.isin(measured.surface.area, NOD_ROIS))
    signal, found = clean.responses[:, early], measured.responses[:, early]
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(signal.T, found.T, strict=True)]
    error = np.array(r) - measured.noise_ceiling[early]
    assert abs(error.mean()) < 0.02
    assert np.corrcoef(r, measured.noise_ceiling[early])[0, 1] > 0.85


def test_permuted_responses_are_the_same_ones_of_other_images() -> None:
    images = [render(compose(0, k), 32) for k in choose_stimuli(1, SETTINGS).tolist()]
    straight = plant_nod(1, images, SETTINGS)["rh"].responses
    permuted = plant_nod(1, images, replace(SETTINGS, permute_responses=True))["rh"].responses
    assert not np.array_equal(straight, permuted)
    np.testing.assert_array_equal(np.sort(straight, axis=0), np.sort(permuted, axis=0))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"subjects": (10,)}, r"subjects \(10,\): expected ascending numbers from 1 to 9"),
        ({"n_images": 9}, "9 images: expected a multiple of 4 runs, at least two per run"),
        ({"n_images": 4}, "4 images: expected a multiple of 4 runs, at least two per run"),
        ({"n_runs": 0}, "expected at least one session and run"),
        ({"image_size": 16}, "image_size 16: expected at least 32 pixels"),
        ({"noise_ceiling": (0.5, 1.5)}, "expected a range within 0 and 1"),
        ({"seed": -1}, "seed -1: expected 0 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, text) -> None:
    with pytest.raises(ValueError, match=f"simulation: .*{text}|simulation: {text}"):
        replace(SETTINGS, **settings)


def test_the_command_writes_the_layout_and_has_no_shared_images(tmp_path, capsys) -> None:
    command = ["simulate", "--layout", "nod", "--out", str(tmp_path / "a"), "--n-images", "12"]
    command += ["--subjects", "9", "--image-size", "32"]
    assert main(command) == 0
    assert "1 subject simulated" in capsys.readouterr().out
    assert len(list((tmp_path / "a").rglob("*_beta.dscalar.nii"))) == 6
    assert main([*command, "--shared", "3"]) == 2
    assert "subjects share no images" in capsys.readouterr().err


def test_the_default_simulation_has_two_sessions_of_three_runs() -> None:
    settings = NodSimulation()
    assert (settings.n_sessions, settings.n_runs, settings.n_images) == (2, 3, 900)
