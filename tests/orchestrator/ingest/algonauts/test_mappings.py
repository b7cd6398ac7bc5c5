"""Mapping files: what NumPy writes is read, anything else in the pickle is refused."""

import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.algonauts.mappings import read_mapping

NAMES = {0: "Unknown", 1: "V1v", 2: "V1d"}


class Call:
    """Pickle to a call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def save(path: Path, content: object) -> Path:
    array = np.empty((), dtype=object)
    array[()] = content
    np.save(path, array)
    return path


def save_pickle(path: Path, raw: bytes) -> Path:
    with path.open("wb") as stream:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(raw)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mapping_prf-visualrois.npy"


def test_what_numpy_saves_is_read(path):
    np.save(path, NAMES)
    assert read_mapping(path) == NAMES == np.load(path, allow_pickle=True).item()


def test_names_are_stripped_of_white_space(path):
    assert read_mapping(save(path, {1: " V1v \n", 2: "V1d\t"})) == {1: "V1v", 2: "V1d"}


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, np.dtype(">i4").type])
def test_numpy_integers_are_labels(path, kind):
    assert read_mapping(save(path, {kind(1): "V1v", kind(2): "V1d"})) == {1: "V1v", 2: "V1d"}


def test_numpy_strings_are_names(path):
    assert read_mapping(save(path, {1: np.str_("V1v "), 2: np.str_("hV4")})) == {1: "V1v", 2: "hV4"}


def test_a_one_item_array_is_read_too(path):
    np.save(path, np.array([NAMES], dtype=object))
    assert read_mapping(path) == NAMES


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("core", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_every_protocol_and_both_numpy_versions_are_read(path, protocol, core):
    array = np.array({np.int64(1): "V1v"}, dtype=object)
    raw = pickle.dumps(array, protocol=protocol)
    if protocol < 4:  # names without a length before them can be exchanged in place
        raw = raw.replace(b"numpy._core.multiarray", core)
    assert read_mapping(save_pickle(path, raw)) == {1: "V1v"}


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (Call(os.system, "touch ran"), "system"),
        (Call(eval, "open('ran', 'w')"), "builtins.eval"),
        (Call(exec, "open('ran', 'w')"), "builtins.exec"),
        (Call(open, "ran", "w"), "io.open"),
        (Call(getattr, NAMES, "clear"), "builtins.getattr"),
        (Call(np.load, "ran"), "numpy.load"),
        (Call(np.lib.format.open_memmap, "ran"), "open_memmap"),
        ({1: Path("V1v")}, "pathlib"),
        ({1: np.float64(1)}, "a NumPy scalar of type 'f8'"),
    ],
)
def test_anything_else_is_refused_by_name_and_not_run(path, content, refused, monkeypatch):
    monkeypatch.chdir(path.parent)
    with pytest.raises(InputError, match="refused to load") as error:
        read_mapping(save(path, content))
    assert str(path) in str(error.value)
    assert refused in str(error.value)
    assert not Path("ran").exists()


def test_the_hostile_files_of_this_test_would_run_elsewhere(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    np.load(save(path, Call(open, "ran", "w")), allow_pickle=True).item()
    assert Path("ran").exists()


def test_objects_outside_the_file_are_refused(path):
    raw = b"\x80\x02X\x01\x00\x00\x00aQ."
    assert any(op.name == "BINPERSID" for op, _, _ in pickletools.genops(raw))
    with pytest.raises(InputError, match="refused to load a reference"):
        read_mapping(save_pickle(path, raw))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (["V1v"], "a list"),
        ("V1v", "a str"),
        ({"1": "V1v"}, "an entry of str to str"),
        ({True: "V1v"}, "an entry of bool to str"),
        ({1: 2}, "an entry of int to int"),
        ({1: ["V1v"]}, "an entry of int to list"),
    ],
)
def test_another_object_is_refused(path, content, found):
    with pytest.raises(InputError, match="expected a saved dict of label to ROI name") as error:
        read_mapping(save(path, content))
    assert found in str(error.value)


def test_a_missing_file_is_reported(path):
    with pytest.raises(InputError, match="missing; download it again"):
        read_mapping(path)


def test_a_plain_array_is_refused(path):
    np.save(path, np.arange(4))
    with pytest.raises(InputError, match="found an array of int64"):
        read_mapping(path)


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04", b"\x93NUMPY\x01", pickle.dumps(NAMES)])
def test_another_file_is_refused(path, raw):
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"no \.npy file"):
        read_mapping(path)


def test_a_huge_file_is_refused_unread(path):
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(InputError, match="bytes"):
        read_mapping(path)


def test_a_file_cut_anywhere_is_refused(path):
    whole = save(path, NAMES).read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="expected a saved dict"):
            read_mapping(path)


def test_a_file_with_any_byte_changed_is_read_or_refused_in_words(path):
    whole = save(path, {np.int64(1): "V1v"}).read_bytes()
    message = []
    for place in range(len(whole)):
        for value in (0, 0x2E, 0x52, 0x62, 0xFF):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                labels = list(read_mapping(path))
            except InputError as error:
                labels = []
                message.append(str(path) in str(error))
            assert all(type(label) is int for label in labels)
    assert len(message) > 100
    assert all(message)
