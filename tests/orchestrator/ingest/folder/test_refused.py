"""Options that do not fit a folder are refused, and all of its problems are listed at once."""

import json
import shutil

import numpy as np
import pytest

from tests.builders.own_folder import (
    IMAGE,
    NEUROIDS,
    STIMULI,
    drop_row,
    edit,
    edit_row,
    errors_of,
    unlink,
    write_own,
)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--subjects", "2"), "subject 2 is not there, only sub-01"),
        (("--ceiling", "given"), "has no column noise_ceiling or ncsnr"),
        (("--split", "given"), "has no column split"),
        (("--init", "x"), "leave SOURCE and --out away"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, capsys, flags, text) -> None:
    own = write_own(tmp_path / "source")
    edit(STIMULI, split=None)(own)
    (line,) = errors_of(["folder", own.root, "--out", tmp_path / "data", *flags], capsys)
    assert text in line


def test_ambiguous_files_are_refused(tmp_path, capsys) -> None:
    """Two forms of responses, a column under two names, and a transposed matrix."""
    own = write_own(tmp_path / "source")
    edit(NEUROIDS, hemi="lh", voxel_id="1")(own)
    np.save(own.subject / "responses.npy", own.responses().T)
    (line,) = errors_of(["folder", own.root, "--out", tmp_path / "data"], capsys)
    assert "responses.npy: expected responses of (presentations, neuroids) = (48, 10)" in line
    assert "found (10, 48): the axes are in another order; save them transposed" in line
    (own.subject / "responses.nc").write_bytes(b"")
    (line,) = errors_of(["folder", own.root, "--out", tmp_path / "data"], capsys)
    assert "responses in responses.npy and responses.nc; keep one of them" in line


def test_few_repeats_give_no_estimate(tmp_path, capsys) -> None:
    own = write_own(tmp_path / "source", repeats=1, sessions=1)
    command = ["folder", own.root, "--out", tmp_path / "data", "--ceiling"]
    (line,) = errors_of([*command, "split-half"], capsys)
    assert "0 images of sub-01 were shown twice" in line
    own.describe(averaged=True)
    (line,) = errors_of([*command, "ncsnr"], capsys)
    assert "they have no repeats" in line
    for repeats in ("rows", "first"):
        command_of = ["folder", own.root, "--out", tmp_path / "data", "--repeats", repeats]
        (line,) = errors_of(command_of, capsys)
        assert f"--repeats {repeats}: dataset.json calls the data averaged" in line
    own.describe(averaged=True, noise_ceiling_unit="ncsnr")
    edit(NEUROIDS, noise_ceiling="1")(own)
    (line,) = errors_of([*command, "given"], capsys)
    assert "add a column n_trials" in line
    assert json.loads((own.root / "dataset.json").read_text())["averaged"]


def test_all_problems_are_listed_at_once(tmp_path, capsys) -> None:
    """Also where the tables can't be paired: the images are checked, and named once."""
    own = write_own(tmp_path / "source")
    shutil.copytree(own.subject, own.root / "sub-02")
    for subject in ("sub-01", "sub-02"):
        drop_row(f"{subject}/presentations.csv")(own)
    edit_row(NEUROIDS, 1, hemisphere="middle")(own)
    unlink(IMAGE)(own)
    lines = errors_of(["folder", own.root, "--out", tmp_path / "data"], capsys)
    assert [line.split(": ")[1].removeprefix(str(own.root)) for line in lines] == [
        "/sub-01/presentations.csv",
        "/sub-02/presentations.csv",
        "/sub-01/neuroids.csv",
        f"/{IMAGE}",
    ]
