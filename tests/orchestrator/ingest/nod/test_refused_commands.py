"""NOD commands and atlases that cannot be used are refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from orchestrator.ingest.__main__ import main
from tests.builders.refused_nod import errors_of


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda root: root / "nowhere", "expected the folder of the data set, found nothing"),
        (lambda root: root.parent, "found no subject there; give "),
        (lambda root: root / "atlas", "found no subject there; give the folder that holds"),
        (lambda root: root / "simulation.json", "found a file there; give another SRC"),
    ],
)
def test_another_folder_is_refused(make, text, folder, capsys) -> None:
    assert main(["nod", str(make(folder.root)), "--out", str(folder.root / "data")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert text in line


def test_an_empty_folder_is_refused(tmp_path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    (line,) = errors_of(tmp_path / "empty", capsys)
    assert "expected SRC/derivatives/ciftify/sub-01/results/…, found no subject" in line


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--subjects", "1,5"), "subject 5 is not there, only sub-01, sub-02"),
        (("--sessions", "7"), "found no run of the chosen sessions"),
        (("--atlas", "nowhere.dlabel.nii"), "nowhere.dlabel.nii: no such atlas"),
        (("--atlas", "atlas.nii.gz"), "expected the atlas as .dlabel.nii or .mat, found another"),
    ],
)
def test_options_that_do_not_fit_the_source_are_refused(options, text, folder, capsys) -> None:
    lines = errors_of(folder.root, capsys, *options)
    assert lines
    assert all(text in line for line in lines)


def test_a_missing_atlas_is_reported_with_the_places_where_it_was_looked_for(
    folder, capsys
) -> None:
    folder.atlas.rename(folder.root / "atlas" / "other.dlabel.nii")
    (line,) = errors_of(folder.root, capsys)
    assert "in SRC, SRC/atlas, SRC/supportfiles, SRC/derivatives/ciftify, found none" in line
    assert "--atlas FILE" in line


def test_two_atlases_are_refused(folder, capsys) -> None:
    shutil.copy(folder.atlas, folder.root / "Glasser.dlabel.nii")
    (line,) = errors_of(folder.root, capsys)
    assert "expected one HCP-MMP atlas" in line
    assert "found 2: " in line


def save_mat(path: Path, **arrays: np.ndarray) -> Path:
    scipy.io.savemat(path, arrays)
    return path


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"glasser_MMP": np.ones(59_412)}, "have grayordinates (971 or 983), found glasser_MMP"),
        ({}, "found no array"),
        ({"a": np.ones(971), "b": np.ones(971)}, "found a of 971, b of 971"),
        ({"glasser_MMP": np.full(971, 400)}, "expected labels from 1 to 360"),
        ({"glasser_MMP": np.arange(971) % 300}, "has labels up to 180 and above it"),
        ({"glasser_MMP": np.full(971, 1.5)}, "expected whole numbers as labels"),
    ],
)
def test_a_mat_file_that_does_not_fit_is_refused(arrays, text, folder, capsys) -> None:
    path = save_mat(folder.root.parent / "labels.mat", **arrays)
    (line,) = errors_of(folder.root, capsys, "--atlas", path, "--subjects", "1")
    assert text in line
    assert str(path) in line


def test_an_array_that_would_fill_the_memory_is_not_loaded(folder, capsys, monkeypatch) -> None:
    monkeypatch.setattr("orchestrator.ingest.nod.atlas.MAX_LABELS", 1000)
    path = save_mat(folder.root.parent / "labels.mat", bomb=np.zeros(1001), other=np.ones(999))
    (line,) = errors_of(folder.root, capsys, "--atlas", path, "--subjects", "1")
    assert "found other of 999;" in line


def test_a_mat_file_that_is_none_is_refused(folder, capsys) -> None:
    path = folder.root.parent / "labels.mat"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    (line,) = errors_of(folder.root, capsys, "--atlas", path, "--subjects", "1")
    assert "expected the atlas as a MATLAB file up to version 7" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["nod", "SRC", "--out", "DATA", "--top", "0"],
        ["nod", "SRC", "--out", "DATA", "--zscore", "session"],
        ["nod", "SRC", "--out", "DATA", "--noise-ceiling", "DIR"],
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(arguments, capsys) -> None:
    assert main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
