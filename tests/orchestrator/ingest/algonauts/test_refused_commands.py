"""Ingest commands that cannot be meant, or cannot be written, are refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from orchestrator.ingest.__main__ import main
from tests.builders.algonauts_folder import (
    write_folder,
    write_noise_ceilings,
)
from tests.builders.refused_ingest import cut, errors_of


def nowhere(root: Path) -> Path:
    return root / "nowhere"


def a_file(root: Path) -> Path:
    (root / "file").write_text("")
    return root / "file"


def unknown_layout(root: Path) -> Path:
    (root / "other" / "pictures").mkdir(parents=True)
    return root / "other"


def one_subject(root: Path) -> Path:
    return write_folder(root / "source").root / "subj01"


def the_folder_above(root: Path) -> Path:
    return write_folder(root / "a" / "source").root.parent


def two_folders_above(root: Path) -> Path:
    """Beside what macOS puts into archives, which looks like a folder of subjects."""
    (root / "b" / "__MACOSX" / "subj01").mkdir(parents=True)
    return write_folder(root / "b" / "nsd" / "source").root.parents[1]


def both_layouts(root: Path) -> Path:
    write_folder(root / "source")
    return write_folder(root / "source", layout="split-first").root


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (nowhere, "nowhere: expected the folder of the data set, found nothing there; give"),
        (a_file, "file: expected the folder of the data set, found a file there; give"),
        (unknown_layout, "found neither; give the folder that holds the subjects"),
        (one_subject, "this is one subject's folder: give"),
        (the_folder_above, "a/source"),
        (two_folders_above, "found neither; give "),
        (two_folders_above, "b/nsd/source"),
        (both_layouts, "holds both layouts"),
    ],
)
def test_another_folder_is_refused(make, text, tmp_path, capsys):
    (line,) = errors_of(["algonauts", make(tmp_path), "--out", tmp_path / "data"], capsys)
    assert text in line
    assert not (tmp_path / "data").exists()


def test_a_subject_that_is_not_there_is_refused(tmp_path, capsys):
    folder = write_folder(tmp_path / "source", (1, 2))
    (line,) = errors_of(
        ["algonauts", folder.root, "--out", tmp_path / "data", "--subjects", "2-3"], capsys
    )
    assert "subject 3 is not there, only subj01, subj02" in line


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda f: (f / "subj01/rh.npy").unlink(), "rh.npy: noise ceiling missing"),
        (lambda f: np.save(f / "subj01/lh.npy", np.ones(9)), "9 noise ceilings, but the responses"),
        (lambda f: np.save(f / "subj01/lh.npy", np.ones((10, 1))), "expected one float per vertex"),
        (lambda f: np.save(f / "subj01/lh.npy", np.full(10, 71.0)), "expected correlations from 0"),
    ],
)
def test_wrong_noise_ceilings_are_refused(damage, text, tmp_path, capsys):
    folder = write_folder(tmp_path / "source")
    damage(write_noise_ceilings(tmp_path / "ceilings"))
    arguments = ["algonauts", folder.root, "--out", tmp_path / "data", "--split", "paper"]
    (line,) = errors_of([*arguments, "--noise-ceiling", tmp_path / "ceilings"], capsys)
    assert text in line


@pytest.mark.parametrize("inside", ["", "deeper/still"])
def test_an_out_that_is_a_file_is_refused(inside, tmp_path, capsys):
    folder = write_folder(tmp_path / "source")
    out = a_file(tmp_path) / inside
    (line,) = errors_of(["algonauts", folder.root, "--out", out, "--split", "paper"], capsys)
    assert "choose another --out" in line
    assert out.parent.is_dir() or (tmp_path / "file").read_text() == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is writable for root")
def test_an_out_that_is_not_writable_is_refused(tmp_path, capsys):
    folder = write_folder(tmp_path / "source")
    (tmp_path / "locked").mkdir(mode=0o500)
    (line,) = errors_of(
        ["algonauts", folder.root, "--out", tmp_path / "locked" / "data", "--split", "paper"],
        capsys,
    )
    assert "can't be written to" in line


def test_a_full_disk_is_reported_before_it_is_full(tmp_path, capsys, monkeypatch):
    folder = write_folder(tmp_path / "source")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    (line,) = errors_of(
        ["algonauts", folder.root, "--out", tmp_path / "data", "--split", "paper"], capsys
    )
    assert "the shards need 2 MB, 0 MB are free" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["algonauts", "SRC"],
        ["algonauts", "SRC", "--out", "DATA", "--subjects", "one"],
        ["algonauts", "SRC", "--out", "DATA", "--subjects", "8-5"],
        ["algonauts", "SRC", "--out", "DATA", "--split", "random"],
        ["algonauts", "SRC", "--out", "DATA", "--image-size", "0"],
        ["algonauts", "SRC", "--out", "DATA", "--image-size", "big"],
        ["nod", "SRC"],
        [],
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(arguments, capsys):
    assert main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


def test_a_simulation_that_cannot_be_is_refused(tmp_path, capsys):
    code = main(["simulate", "--out", str(tmp_path / "sim"), "--subjects", "9"])
    assert code == 2
    assert "error: simulation: subjects (9,)" in capsys.readouterr().err
    assert not (tmp_path / "sim").exists()


def test_the_real_command_exits_with_2_and_no_traceback(tmp_path):
    folder = write_folder(tmp_path / "source")
    cut(folder.image(0))
    arguments = ["algonauts", folder.root, "--out", tmp_path / "data"]
    ran = subprocess.run(
        [sys.executable, "-m", "orchestrator.ingest", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert ran.stderr.splitlines()[-1].startswith(f"error: {folder.image(0)}: not a readable image")
    assert ran.stdout == ""
    assert not (tmp_path / "data").exists()
