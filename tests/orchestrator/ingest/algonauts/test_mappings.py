"""Mapping files: what NumPy writes is read, anything else in the pickle is refused."""

import os
import pickle
import pickletools
import struct
import tracemalloc
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


LAUGHS = b"".join(b"q" + bytes([k]) + b"h" + bytes([k]) + b"\x86" for k in range(40))
"""Nests the last value 40 times in a tuple of itself twice: 2 ** 40 leaves."""


def scalar(code: str, raw: str) -> bytes:
    """Pickle a NumPy scalar of any type's code, by protocol 2."""
    texts = (b"X" + struct.pack("<I", len(text)) + text.encode() for text in (code, raw, "latin1"))
    kind, content, encoding = texts
    encoded = b"c_codecs\nencode\n" + content + encoding + b"\x86R"
    dtype = b"cnumpy\ndtype\n" + kind + b"\x85R"
    return b"\x80\x02cnumpy.core.multiarray\nscalar\n" + dtype + encoded + b"\x86R."


HOSTILE = {
    "a memo of 16 GB": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "a memo in text": b"\x80\x02Np2147483647\n.",
    "bytes of 4 GB": b"\x80\x04\x8e" + struct.pack("<Q", 4 << 30) + b"x.",
    "bytes without end": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x.",
    "a bytearray of 4 GB": b"\x80\x05\x96" + struct.pack("<Q", 4 << 30) + b"x.",
    "a frame without end": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"N.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent id": b"Pabc\n.",
    "nested tuples": b"\x80\x02)" + b"\x85" * 20_000 + b".",
    "nested lists": b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".",
    "a tuple of 2 ** 40": b"\x80\x02K\x01" + LAUGHS + b".",
    "a value of 2 ** 40": b"\x80\x02}K\x01K\x02" + LAUGHS + b"s.",
    "a key of 2 ** 40": b"\x80\x02}K\x02" + LAUGHS + b"K\x01s.",
    "eval": b"cbuiltins\neval\n(S'1'\ntR.",
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.",
    "an attribute of a function": (
        b"\x80\x02c_codecs\nencode\nN}X\x0c\x00\x00\x00__defaults__X\x01\x00\x00\x00x\x85s\x86b."
    ),
    "an attribute of a class": b"\x80\x02cnumpy\ndtype\nN}X\x07\x00\x00\x00__doc__Nss\x86b.",
    "an object": b"\x80\x02cnumpy\ndtype\n)\x81.",
    "an instance": b"(icollections\nOrderedDict\n.",
    "a set": b"\x80\x04\x8f.",
    "a type of many fields": scalar("i4," * 5_000 + "i4", "x" * 100),
    "a string of 4 GB": scalar("U1000000000", "x" * 100),
    "an object in an array": scalar("O", "x" * 100),
    "a repeated type": scalar("i4(999999999,)", "x" * 100),
    "more bytes than the type": scalar("i4", "x" * 100),
    "an integer of 60,000 digits": b"\x80\x02}I" + b"9" * 60_000 + b"\nX\x01\x00\x00\x00as.",
    "a huge integer": b"\x80\x02}\x8b" + struct.pack("<i", 60_000) + b"\x7f" * 60_000 + b"N.",
    "a long name": b"\x80\x02}K\x01X" + struct.pack("<I", 60_000) + b"a" * 60_000 + b"s.",
    "an escape in a name": b"\x80\x02}K\x01X\x05\x00\x00\x00\x1b[31ms.",
    "a state without an array": b"\x80\x02}K\x01b.",
    "a memo that refers to itself": b"\x80\x02]q\x00h\x00a.",
    "a dict that holds itself": b"\x80\x02}q\x00K\x01h\x00s.",
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_pickle_is_refused_at_once_in_little_memory(path, raw):
    save_pickle(path, raw)
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as refused:
            read_mapping(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert str(refused.value).startswith(f"{path}: ")
    assert len(str(refused.value)) < 400
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "header",
    [
        b"\x09\x00v\x00" + b"x" * 200,
        b"\x02\x00" + struct.pack("<I", 0xFFFFFFFF) + b"{}",
        b"\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000,
        b"\x01\x00" + struct.pack("<H", 9900) + b"-" * 9900,
        b"\x01\x00"
        + struct.pack("<H", 60)
        + b"{'descr': 'O8888888888888888888', 'fortran_order'".ljust(60),
    ],
)
def test_a_hostile_header_is_refused(path, header):
    path.write_bytes(b"\x93NUMPY" + header)
    with pytest.raises(InputError, match=r"no \.npy file"):
        read_mapping(path)


def test_pipes_devices_folders_and_loops_are_refused_at_once(path):
    os.mkfifo(path)
    with pytest.raises(InputError, match="expected a regular file"):
        read_mapping(path)
    for target in ("/dev/zero", path.parent, path.name):
        path.unlink()
        path.symlink_to(target)
        with pytest.raises(InputError, match=f"{path.name}: .*mapping of labels"):
            read_mapping(path)


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
