"""Submissions to Algonauts that are refused: in one line, with nothing written."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.encoding_models.config import READOUT
from orchestrator.ingest.simulated import RECORD
from tests.builders.challenge_folder import (
    N_TEST,
    N_VERTICES,
    ChallengeFolder,
    change_model,
    submit,
    write_test_responses,
)

Capture = pytest.CaptureFixture[str]


def test_vertices_of_no_model_are_refused_in_one_line_with_the_cure(
    folder: ChallengeFolder, tmp_path: Path, capsys: Capture
) -> None:
    assert submit(folder, tmp_path / "submission.zip", fill=()) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "of no model's ROI: subj01 lh 2 of 14, subj01 rh 7 of 12" in line
    assert "with --rois all, or fill these with 0 by --fill zero" in line
    assert not (tmp_path / "submission.zip").exists()


def no_such_models(folder: ChallengeFolder) -> None:
    shutil.rmtree(folder.directory)


def a_missing_subject(folder: ChallengeFolder) -> None:
    change_model(folder.models["lh-early"], "roi", subject="subj04")


def a_subject_outside_the_challenge(folder: ChallengeFolder) -> None:
    home = folder.source / "subj01"
    home.rename(folder.source / "subj09")
    for path in folder.models.values():
        change_model(path, "roi", subject="subj09")


def no_model_of_a_hemisphere(folder: ChallengeFolder) -> None:
    shutil.rmtree(folder.models["rh-EBA"])


def a_model_of_other_vertices(folder: ChallengeFolder) -> None:
    change_model(folder.models["lh-early"], "vertices", vertex=list(range(5, 13)))


def a_model_of_an_unknown_roi(folder: ChallengeFolder) -> None:
    change_model(folder.models["lh-early"], "roi", name="ventral")


def a_model_of_another_data_set(folder: ChallengeFolder) -> None:
    change_model(folder.models["lh-early"], "roi", dataset="nod")


def a_model_of_a_volume(folder: ChallengeFolder) -> None:
    change_model(folder.models["lh-early"], "roi", hemisphere="both")


def a_model_of_fewer_than_all_vertices(folder: ChallengeFolder) -> None:
    change_model(folder.models["lh-early"], "roi", name="all")


def a_model_of_simulated_data(folder: ChallengeFolder) -> None:
    change_model(folder.models["lh-early"], is_simulated=True)


def a_simulated_source(folder: ChallengeFolder) -> None:
    for key in ("lh-V1v-tuned", "lh-V1v-untuned", "lh-early"):
        change_model(folder.models[key], is_simulated=True)
    (folder.source / RECORD).write_text("{}", encoding="utf-8")


def a_tampered_readout(folder: ChallengeFolder) -> None:
    path = folder.models["lh-early"] / READOUT
    content = path.read_bytes()
    path.unlink()  # it may be a hard link
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def no_test_images(folder: ChallengeFolder) -> None:
    shutil.rmtree(folder.test_images)


def a_gap_in_the_test_images(folder: ChallengeFolder) -> None:
    next(folder.test_images.glob("test-0003*")).unlink()


def too_few_test_images(folder: ChallengeFolder) -> None:
    next(folder.test_images.glob("test-0006*")).unlink()


def an_unreadable_test_image(folder: ChallengeFolder) -> None:
    path = next(folder.test_images.glob("test-0005*"))
    path.write_bytes(path.read_bytes()[:200])


def an_image_of_another_name(folder: ChallengeFolder) -> None:
    Image.new("RGB", (9, 9)).save(folder.test_images / "train-0001_nsd-00001.png")


def other_vertices_in_the_masks(folder: ChallengeFolder) -> None:
    for path in folder.masks.glob("rh.*_challenge_space.npy"):
        np.save(path, np.append(np.load(path), 0))


def masks_of_two_lengths(folder: ChallengeFolder) -> None:
    path = folder.masks / "rh.streams_challenge_space.npy"
    np.save(path, np.zeros(11, np.int64))


REFUSED = {
    no_such_models: "no such directory; run python -m orchestrator.export",
    a_missing_subject: "subj04 is not there, of which there are models",
    a_subject_outside_the_challenge: "subj09 is not in the challenge",
    no_model_of_a_hemisphere: "no model of subj01 rh",
    a_model_of_other_vertices: "8 vertices of lh early",
    a_model_of_an_unknown_roi: "has none; give the --src",
    a_model_of_another_data_set: "a model of nod, expected nsd",
    a_model_of_a_volume: "expected one of the challenge's hemispheres, lh or rh",
    a_model_of_fewer_than_all_vertices: "has 8 vertices of lh all",
    a_model_of_simulated_data: "a model of simulated responses",
    a_simulated_source: "a model of measured responses",
    a_tampered_readout: "readout.safetensors: its content has changed",
    no_test_images: "the folder of test images is missing",
    a_gap_in_the_test_images: "between the first and the last, number 3",
    too_few_test_images: "5 test images, subj01 in the challenge has 6",
    an_unreadable_test_image: "test-0005_nsd-00896.png",
    an_image_of_another_name: "expected a name such as test-0001",
    other_vertices_in_the_masks: "rh has 13 vertices, subj01 in the challenge has 12",
    masks_of_two_lengths: "11 labels, but the responses have 12 vertices",
}


@pytest.mark.parametrize("damage", REFUSED, ids=lambda one: one.__name__)
def test_bad_input_is_one_line_and_nothing_is_written(
    folder: ChallengeFolder, tmp_path: Path, damage, capsys: Capture
) -> None:
    damage(folder)
    before = sorted(tmp_path.iterdir())
    assert submit(folder, tmp_path / "submission.zip") == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert REFUSED[damage] in lines[0]
    assert sorted(tmp_path.iterdir()) == before


def cut_responses(home: Path) -> None:
    path = home / "test_fmri" / "lh_test_fmri.npy"
    np.save(path, np.load(path)[:-1])


def responses_of_another_subject(home: Path) -> None:
    path = home / "test_fmri" / "lh_test_fmri.npy"
    np.save(path, np.load(path)[:, :-1])


def a_ceiling_in_per_cent(home: Path) -> None:
    path = home / "noise_ceiling" / "rh_noise_ceiling.npy"
    np.save(path, 100 * np.load(path))


def a_ceiling_of_another_length(home: Path) -> None:
    path = home / "noise_ceiling" / "rh_noise_ceiling.npy"
    np.save(path, np.load(path)[1:])


REFUSED_RESPONSES = {
    shutil.rmtree: "lh_test_fmri.npy: responses missing",
    cut_responses: "5 rows of responses, but 6 images",
    responses_of_another_subject: "responses of 13 vertices, challenge space has 14",
    a_ceiling_in_per_cent: "expected shares of variance from 0 to 1",
    a_ceiling_of_another_length: "expected 12 floats",
}


@pytest.mark.parametrize("damage", REFUSED_RESPONSES, ids=lambda one: one.__name__)
def test_test_responses_that_do_not_fit_are_refused(
    folder: ChallengeFolder, tmp_path: Path, damage, capsys: Capture
) -> None:
    zeros = {name: np.zeros((N_TEST, n), np.float32) for name, n in N_VERTICES.items()}
    responses = write_test_responses(tmp_path / "measured", zeros)
    damage(responses / "subj01" / "test_split")
    out = tmp_path / "submission.zip"
    assert submit(folder, out, "--test-responses", str(responses)) == 2
    error = capsys.readouterr().err
    assert REFUSED_RESPONSES[damage] in error
    assert not out.exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("out.tar", "expected a name that ends in .zip"),
        ("no/out.zip", "create it first"),
        ("src.zip", "there already; remove it"),
    ],
)
def test_an_archive_that_cannot_be_written_is_refused(
    folder: ChallengeFolder, tmp_path: Path, out: str, message: str, capsys: Capture
) -> None:
    (tmp_path / "src.zip").write_bytes(b"earlier")
    assert submit(folder, tmp_path / out) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "src.zip").read_bytes() == b"earlier"
