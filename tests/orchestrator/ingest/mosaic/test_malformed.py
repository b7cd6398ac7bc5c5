"""Malformed HDF5 files of MOSAIC are refused in a line: what was found, where, and the cure."""

import shutil
from collections.abc import Callable

import h5py
import numpy as np
import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.mosaic.grayordinates import N_GRAYORDINATES
from tests.builders.mosaic_folder import KEY, MosaicFolder, found, inspect, refused_line, write

Damage = Callable[[MosaicFolder], object]
CEILING = f"{KEY.name}_phase-test_n-avg_noiseceiling"


def in_file(change: Callable[[h5py.File, str], object]) -> Damage:
    """Change the subject's file, given the name of one of its trials."""

    def damage(folder: MosaicFolder) -> None:
        name = folder.first_trial()
        with folder.opened() as file:
            change(file, name)

    return damage


def replaced(file: h5py.File, name: str, values: np.ndarray) -> None:
    """Give a data set other values, of whatever shape and type."""
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, data=values).attrs.update(attributes)


def set_attribute(name: str, value: object) -> Damage:
    return in_file(lambda file, trial: file[f"betas/{trial}"].attrs.__setitem__(name, value))


def in_chunks(folder: MosaicFolder) -> None:
    folder.file.unlink()
    with h5py.File(folder.root / "mosaic_chunks.hdf5", "w") as file:
        file.create_dataset(f"{KEY.name}/betas", data=np.zeros((3, 4), np.float32))


MALFORMED: dict[str, tuple[Damage, list[str], str]] = {
    "no HDF5 file": (
        lambda f: f.file.write_bytes(b"\x89HDF" + bytes(100)),
        [],
        "sub-01_NSD.hdf5: not a readable HDF5",
    ),
    "a truncated file": (
        lambda f: f.file.write_bytes(f.file.read_bytes()[:3000]),
        [],
        "sub-01_NSD.hdf5: not a readable",
    ),
    "an empty file": (lambda f: f.file.write_bytes(b""), [], "an empty file; download it again"),
    "no files": (
        lambda f: f.file.unlink(),
        [],
        "expected files such as sub-01_NSD.hdf5, found none",
    ),
    "an unfinished download": (
        lambda f: f.file.rename(f.root / "sub-01_NSD.hdf5.part"),
        [],
        "its download was not finished",
    ),
    "a renamed file": (
        lambda f: f.file.rename(f.root / "first.hdf5"),
        [],
        "first.hdf5: expected a name such as",
    ),
    "another subject's name": (
        lambda f: f.file.rename(f.root / "sub-02_NSD.hdf5"),
        [],
        "its name says sub-02_NSD, its",
    ),
    "another data set's name": (
        lambda f: f.file.rename(f.root / "sub-01_NOD.hdf5"),
        [],
        "attributes sub-01 of NaturalScenes",
    ),
    "a subject twice": (
        lambda f: shutil.copyfile(f.file, f.root / "sub-01_NSD_crc32-0a1b2c3d.hdf5"),
        [],
        "sub-01_NSD is also in",
    ),
    "a subject that is not there": (lambda f: None, ["--subjects", "1,7"], "no subject 7 in any"),
    "other groups": (
        in_file(lambda file, _: [file.pop(name) for name in list(file)]),
        [],
        "expected betas, or groups such as sub-01_NSD, found nothing",
    ),
    "no trials": (
        in_file(lambda file, _: file["betas"].clear()),
        [],
        "expected a group betas with trials",
    ),
    "a matrix of all trials": (in_chunks, [], "lacks their phases and repetitions; give the"),
    "fewer grayordinates": (
        in_file(lambda file, t: replaced(file, f"betas/{t}", np.zeros(59_412, np.float32))),
        [],
        "expected floats of (91282,), found float32 of (59412,)",
    ),
    "whole numbers": (
        in_file(lambda file, t: replaced(file, f"betas/{t}", np.zeros(N_GRAYORDINATES, np.int16))),
        [],
        "found int16 of (91282,)",
    ),
    "a trial of another name": (
        in_file(lambda file, t: file["betas"].move(t, "trial-1")),
        [],
        "trial 'trial-1': expected a name",
    ),
    "a trial of another subject": (
        in_file(lambda file, t: file["betas"].move(t, t.replace("sub-01", "sub-02"))),
        [],
        "expected a name such as sub-01_NSD_stimulus-NAME",
    ),
    "a trial without its stimulus": (
        in_file(lambda file, t: file[f"betas/{t}"].attrs.pop("presented_stimulus_filename")),
        [],
        "expected the attribute presented_stimulus_filename to be the file of stimulus",
    ),
    "a trial of another stimulus": (
        set_attribute("presented_stimulus_filename", "000000000001.jpg"),
        [],
        "found '000000000001.jpg'",
    ),
    "another phase": (
        set_attribute("phase", "test"),
        [],
        "its name and its attributes differ: phase",
    ),
    "another repetition": (set_attribute("repetition", 9), [], "repetition '9'; download"),
    "no missing grayordinates": (
        in_file(lambda file, _: file.pop("nan_indices_all")),
        [],
        "expected nan_indices_all with",
    ),
    "missing grayordinates as a mask": (
        in_file(lambda file, _: replaced(file, "nan_indices_all", np.array([-1, 3]))),
        [],
        "numbers of grayordinates, 0 to 91,281, found others",
    ),
    "noise ceilings as shares": (
        in_file(
            lambda file, _: replaced(
                file, f"noiseceilings/{CEILING}", file[f"noiseceilings/{CEILING}"][()] / 100
            )
        ),
        [],
        "in per cent, found at most 0.",
    ),
    "noise ceilings above 100": (
        in_file(lambda file, _: file[f"noiseceilings/{CEILING}"].__setitem__(slice(0, 9), 150.0)),
        [],
        "as per cent of variance, 0 to 100, of 91,282 grayordinates, found 0 to 150",
    ),
    "noise ceilings of the cortex": (
        in_file(lambda file, _: replaced(file, f"noiseceilings/{CEILING}", np.ones(59_412))),
        [],
        "found 1 to 1 of (59412,)",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_malformed_is_refused_in_one_line(case, folder, capsys) -> None:
    damage, options, text = MALFORMED[case]
    damage(folder)
    assert text in refused_line(folder, capsys, *options)


def test_a_trial_that_lacks_values_is_named_while_it_is_read(folder) -> None:
    (files,) = found(folder.root)
    subject = inspect(files)
    column = int(subject.hemispheres["rh"].coordinates["grayordinate"][3])
    with folder.opened() as file:
        file[f"betas/{folder.first_trial()}"][column] = np.inf
    data = folder.root.parent / "data"
    with pytest.raises(InputError, match=r"trial '.*' has 1 NaN or infinite values that nan_ind"):
        write(subject, files, data)
    assert list(data.iterdir()) == []


def test_many_problems_of_one_kind_are_one_line(folder, capsys) -> None:
    with folder.opened() as file:
        for data in file["betas"].values():
            data.attrs["repetition"] = 7
    assert "more (43 in all)" in refused_line(folder, capsys)
