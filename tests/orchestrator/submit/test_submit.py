"""Submissions to Algonauts: every vertex by the right model, and the score."""

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from orchestrator.encoding_models import load_model
from orchestrator.ingest.algonauts.files import find_subjects
from orchestrator.ingest.simulate.algonauts import Layout, Places
from orchestrator.ingest.simulated import RECORD
from orchestrator.submit import challenge_files
from tests.builders.challenge_folder import (
    LH_CHOICE,
    N_TEST,
    N_VERTICES,
    ChallengeFolder,
    change_model,
    submit,
    write_challenge,
    write_test_responses,
)
from tests.builders.exported_models import Swept

Capture = pytest.CaptureFixture[str]
FILES = {h: f"subj01/{h}_pred_test.npy" for h in N_VERTICES}


def expected(folder: ChallengeFolder) -> dict[str, np.ndarray]:
    """Predict every vertex by its model, in the order of the file names; 0 for those without."""
    images = sorted(folder.test_images.glob("*.png"))
    of_model = {key: load_model(path).predict(images) for key, path in folder.models.items()}
    first = {"lh-V1v-tuned": 0, "lh-V1v-untuned": 0, "lh-early": 4}
    lh, rh = (np.zeros((N_TEST, n), np.float32) for n in N_VERTICES.values())
    for vertex, key in enumerate(LH_CHOICE):
        lh[:, vertex] = of_model[key][:, vertex - first[key]]
    rh[:, 5:10] = of_model["rh-EBA"]
    return {"lh": lh, "rh": rh}


def read(out: Path) -> dict[str, np.ndarray]:
    with ZipFile(out) as archive:
        assert archive.namelist() == list(FILES.values())
        assert archive.testzip() is None
        found = {}
        for hemisphere, name in FILES.items():
            with archive.open(name) as stream:
                found[hemisphere] = np.lib.format.read_array(stream)
    return found


@pytest.mark.parametrize("layout", ["subject-first", "split-first"])
def test_each_vertex_is_predicted_by_the_model_of_its_highest_r(
    swept: Swept, tmp_path: Path, layout: str, capsys: Capture
) -> None:
    folder, out = write_challenge(tmp_path, swept, layout), tmp_path / "submission.zip"
    assert submit(folder, out) == 0
    found, right = read(out), expected(folder)
    for hemisphere, n_vertices in N_VERTICES.items():
        assert found[hemisphere].dtype == np.dtype("<f4")
        assert found[hemisphere].shape == (N_TEST, n_vertices)
        np.testing.assert_allclose(found[hemisphere], right[hemisphere], rtol=1e-4, atol=1e-5)
    assert found["lh"][:, :12].std(axis=0).min() > 1e-3  # rows differ, so their order is tested
    printed = capsys.readouterr().out
    assert "lh 14 vertices, 12 by 3 models, 2 in no model's ROI and filled with 0" in printed
    assert "rh 12 vertices, 5 by 1 model, 7 in no model's ROI and filled with 0" in printed


def test_the_score_is_that_computed_by_hand(
    folder: ChallengeFolder, tmp_path: Path, capsys: Capture
) -> None:
    right = expected(folder)
    responses = write_test_responses(tmp_path / "measured", right)
    out = tmp_path / "submission.zip"
    assert submit(folder, out, "--test-responses", str(responses)) == 0
    scores = []
    for hemisphere, values in read(out).items():
        home = responses / "subj01" / "test_split"
        measured = np.load(home / "test_fmri" / f"{hemisphere}_test_fmri.npy")
        ceiling = np.load(home / "noise_ceiling" / f"{hemisphere}_noise_ceiling.npy")
        for vertex in range(values.shape[1]):
            if not values[:, vertex].any():
                scores.append(0.0)
                continue
            r = max(float(np.corrcoef(values[:, vertex], measured[:, vertex])[0, 1]), 0.0)
            scores.append(min(100 * r**2 / max(float(ceiling[vertex]), 1e-14), 100.0))
    assert {0.0, 100.0} < set(scores)
    [line] = [one for one in capsys.readouterr().out.splitlines() if "median over" in one]
    assert f"score {np.median(scores):.2f} %: median over 26 vertices" in line
    assert f"(mean {np.mean(scores):.2f} %)" in line
    assert 1 < np.median(scores) < 99


@pytest.mark.parametrize("layout", ["subject-first", "split-first"])
def test_test_images_are_where_the_simulation_writes_them(tmp_path: Path, layout: Layout) -> None:
    places = Places.of(tmp_path, 2, layout)
    for folder in (places.training_images, places.masks):
        folder.mkdir(parents=True)
    [files] = find_subjects(tmp_path, None, None)
    assert files.test_images == places.test_images


def test_a_simulated_subject_has_any_counts_and_is_marked(
    folder: ChallengeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(challenge_files, "COUNTS", {})
    for path in folder.models.values():
        change_model(path, is_simulated=True)
    (folder.source / RECORD).write_text("{}", encoding="utf-8")
    assert submit(folder, tmp_path / "out.zip") == 0
    assert capsys.readouterr().out.endswith("1 subject (simulated data)\n")


def test_a_selected_subject_ignores_models_of_others(
    folder: ChallengeFolder, tmp_path: Path
) -> None:
    change_model(folder.models["lh-early"], "roi", subject="subj04")
    assert submit(folder, tmp_path / "out.zip", "--subjects", "1") == 0
    assert not read(tmp_path / "out.zip")["lh"][:, 8:].any()
