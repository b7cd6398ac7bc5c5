"""Malformed folders are refused in one line that says what was found, where, and the cure."""

import h5py
import numpy as np
import pytest
import xarray

from tests.builders.own_folder import (
    IMAGE,
    N_LEFT,
    N_NEUROIDS,
    NEUROIDS,
    SHOWN,
    STIMULI,
    drop_row,
    edit,
    edit_row,
    errors_of,
    unlink,
    write_own,
)
from tests.builders.refused_ingest import cut


def describe(**fields):
    return lambda own: own.describe(**fields)


def save(change):
    return lambda own: np.save(own.subject / "responses.npy", change(own.responses()))


def as_hdf5(name):
    def change(own):
        with h5py.File(own.subject / "responses.h5", "w") as file:
            file[name] = own.responses()
        (own.subject / "responses.npy").unlink()

    return change


def as_assembly(**sizes):
    def change(own):
        shape = (len(own.responses()), N_NEUROIDS, sizes.get("time_bin", 1))
        dims = ("presentation", "neuroid", "time_bin")
        subjects = ["1"] * (N_NEUROIDS - 1) + [sizes.get("other", "1")]
        array = xarray.DataArray(np.ones(shape, sizes.get("dtype", np.float32)), dims=dims)
        array = array.assign_coords(subject=("neuroid", subjects))
        array.to_dataset(name="data").to_netcdf(own.subject / "responses.nc", engine="h5netcdf")
        (own.subject / "responses.npy").unlink()

    return change


def halves(own):
    values = own.responses()
    np.save(own.subject / "lh.npy", values[:, :N_LEFT])
    np.save(own.subject / "rh.npy", values[1:, N_LEFT:])
    (own.subject / "responses.npy").unlink()


def mask(name, values):
    def change(own):
        (own.subject / "rois.csv").unlink()
        (own.subject / "rois").mkdir()
        np.save(own.subject / "rois" / name, values)

    return change


MALFORMED = {
    "no description": (unlink("dataset.json"), "expected dataset.json", "--init"),
    "description that is no JSON": (
        lambda own: (own.root / "dataset.json").write_text("{"),
        "dataset.json: ",
        "correct it",
    ),
    "unknown field": (
        describe(visual_angle=8),
        "dataset.json: unknown keys ['visual_angle']",
        "correct it",
    ),
    "unknown space": (describe(space="MNI"), "dataset.json: space", "correct it"),
    "name that is none": (describe(name="my data"), "dataset.json: name", "correct it"),
    "no stimuli": (unlink(STIMULI), "stimuli.csv: stimuli missing", "download it again"),
    "stimuli without files": (edit(STIMULI, filename=None), "with a column filename", "rename"),
    "stimulus twice": (
        edit_row(STIMULI, 1, stimulus_id="image-0"),
        "image-0 is there twice",
        "keep",
    ),
    "stimulus without an id": (
        edit_row(STIMULI, 2, stimulus_id=""),
        "first in row 3",
        "fill it in",
    ),
    "third side": (edit_row(STIMULI, 2, split="validation"), "'validation'", "remove the column"),
    "no test images": (edit(STIMULI, split="train"), "leaves 24 to train and 0", "use more images"),
    "image that is not there": (unlink(IMAGE), "image-5.png: ", "download it again"),
    "image that was cut": (lambda own: cut(own.root / IMAGE), "image-5.png", "download it again"),
    "presentation too few": (drop_row(SHOWN), "47 rows, but the responses", "one row per row"),
    "unknown stimulus": (
        edit_row(SHOWN, 3, stimulus_id="other"),
        "not in stimuli.csv: other",
        "add them",
    ),
    "repetition twice": (edit(SHOWN, repetition="0"), "repetition 0 of", "from 0"),
    "session without a name": (edit_row(SHOWN, 4, session=""), "session is empty", "fill it in"),
    "averaged with repeats": (describe(averaged=True), "several rows of image-", "average them"),
    "neuroid too few": (drop_row(NEUROIDS), "9 neuroids, but the responses", "one row per column"),
    "neuroid twice": (edit_row(NEUROIDS, 1, neuroid_id="n0"), "there twice: n0", "rename"),
    "hemisphere of some": (edit_row(NEUROIDS, 1, hemisphere="left?"), "'left?' in row 2", "remove"),
    "no vertices": (edit(NEUROIDS, vertex=None), "expected a column vertex", "set space to none"),
    "vertex off the mesh": (
        edit_row(NEUROIDS, 1, vertex="163842"),
        "163,842 in row 2",
        "count from 0",
    ),
    "vertex that is no number": (
        edit_row(NEUROIDS, 1, vertex="1.5"),
        "'1.5' in row 2",
        "correct it",
    ),
    "ceiling without a unit": (
        edit(NEUROIDS, nc_testset="30"),
        "unit is not known",
        "noise_ceiling_unit",
    ),
    "rois of other neuroids": (
        edit_row("sub-01/rois.csv", 0, neuroid_id="x"),
        "not in neuroids.csv: x",
        "correct",
    ),
    "roi that is no name": (
        edit_row("sub-01/rois.csv", 0, roi="LO1 (prf)"),
        "'LO1 (prf)'",
        "rename it",
    ),
    "no rois": (unlink("sub-01/rois.csv"), "no ROI with a neuroid", "rois.csv"),
    "mask of another length": (mask("V1.npy", np.ones(9, int)), "9 labels", "download"),
    "mask of no hemisphere": (
        lambda own: [
            change(own)
            for change in (
                describe(space="none"),
                edit(NEUROIDS, hemisphere=None),
                mask("lh.V1.npy", np.ones(6, int)),
            )
        ],
        "no neuroid is in lh",
        "rename the mask",
    ),
    "mesh without hemispheres": (
        edit(NEUROIDS, hemisphere=None),
        "expected a column hemisphere",
        "set space to none",
    ),
    "no responses": (unlink("sub-01/responses.npy"), "expected responses in", "save them there"),
    "responses of integers": (save(lambda r: r.astype(np.int16)), "found int16", "float32"),
    "responses of three dimensions": (
        save(lambda r: r[None]),
        "found float32 of (1, 48, 10)",
        "2-D",
    ),
    "responses all NaN": (save(lambda r: r * np.nan), "each of 10 neuroids has NaN", "leave out"),
    "responses that were cut": (
        lambda own: cut(own.subject / "responses.npy"),
        "damaged or other file",
        "download",
    ),
    "data set of another name": (as_hdf5("betas"), "found betas", "under that name"),
    "halves of other lengths": (halves, "47 presentations, but lh.npy has 48", "save both"),
    "several time bins": (as_assembly(time_bin=3), "3 time bins", "average or choose"),
    "assembly of two subjects": (
        as_assembly(other="2"),
        "neuroids of 2 subjects (1, 2)",
        "save one file",
    ),
    "assembly of integers": (
        as_assembly(dtype=np.int16),
        "one variable of floats",
        "save a Neuroid",
    ),
}
"""What is damaged, what the line says, and its cure."""


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_folder_is_refused_in_one_line(tmp_path, capsys, name) -> None:
    damage, text, cure = MALFORMED[name]
    own = write_own(tmp_path / "source")
    damage(own)
    errors = errors_of(["folder", own.root, "--out", tmp_path / "data"], capsys)
    (line,) = errors
    assert text in line
    assert cure in line
    assert str(own.root) in line
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("percent_variance", "130", "is 130 in row 1; expected 0 to 100"),
        ("percent_variance", "0.4", "expected per cent"),
        ("variance", "30", "expected 0 to 1,"),
        ("r", "-0.1", "is -0.1 in row 1"),
        ("ncsnr", "inf", "is inf"),
        ("r", "high", "'high' in row 1; expected a number"),
    ],
)
def test_ceilings_outside_of_their_unit_are_refused(tmp_path, capsys, unit, value, text) -> None:
    own = write_own(tmp_path / "source")
    own.describe(noise_ceiling_unit=unit)
    edit(NEUROIDS, noise_ceiling=value)(own)
    (line,) = errors_of(["folder", own.root, "--out", tmp_path / "data"], capsys)
    assert text in line
