"""Simulated subjects who see a user's own photographs."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.ingest.__main__ import main
from orchestrator.ingest.algonauts.files import find_subjects
from orchestrator.ingest.algonauts.inspection import Findings, inspect_subject
from trainables.spec.rois import EARLY

N = 104


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    (folder / "trip").mkdir()
    for number in range(N):
        pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        name = f"trip/{number:03}.jpg" if number % 2 else f"{number:03}.png"
        Image.fromarray(pixels).save(folder / name)
    (folder / "notes.txt").write_text("no photograph")
    return folder


def simulate(photographs: Path, out: Path, *options: str) -> int:
    command = ["simulate", "--images", str(photographs), "--out", str(out), "--subjects", "1,2"]
    return main([*command, "--image-size", "32", *options])


@pytest.fixture(scope="module")
def source(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "source"
    assert simulate(photographs, out) == 0
    return out


def test_every_subject_sees_all_photographs_in_their_order(photographs: Path, source: Path) -> None:
    shown = sorted(path for path in photographs.rglob("*") if path.suffix in (".png", ".jpg"))
    for subject in ("subj01", "subj02"):
        found = sorted((source / subject / "training_split" / "training_images").iterdir())
        assert len(found) == N - 4
        for path, original in zip(found[::25], shown[::25], strict=False):
            expected = (
                Image.open(original).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
            )
            np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(expected))


def test_only_early_rois_exist_and_the_source_is_readable(source: Path) -> None:
    files, _ = find_subjects(source, None, None)
    findings = Findings()
    subject = inspect_subject(files, "stimulus", findings, lambda n: None)
    findings.raise_if_any()
    assert subject is not None
    names = set(subject.hemispheres["lh"].regions)
    assert names - {"early", "midventral"} <= set(EARLY)
    assert {"V1v", "hV4"} <= names


def test_the_same_photographs_are_simulated_once(
    photographs: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(photographs, source) == 0
    others = tmp_path / "others"
    shutil.copytree(photographs, others)
    Image.new("RGB", (40, 60)).save(others / "000.png")
    assert simulate(others, source) == 2
    assert "holds the simulation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--n-images", "200"), "expected at least 204 photographs"),
        (("--n-images", "20"), "expected at least 104 photographs"),
        (("--shared", "10"), "all subjects see all photographs"),
        (("--layout", "nod"), "not available with --layout nod"),
        (("--layout", "imagefolder"), "not available with --layout imagefolder"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    complaint: str,
) -> None:
    assert simulate(photographs, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_without_photographs_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(tmp_path, tmp_path / "out") == 2
    assert "expected photographs" in capsys.readouterr().err
