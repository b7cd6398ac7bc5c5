"""Files are there whole or not at all, and tell when a bit of them has turned."""

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors import SafetensorError

from trainables.compute.failures import failure_of
from trainables.exceptions import DiskFull
from trainables.storage import atomic, disk_space, tensor_files
from trainables.storage.atomic import (
    append_line,
    atomic_write,
    read_parquet,
    write_parquet,
    write_text,
)
from trainables.storage.tensor_files import write_tensors

TABLE = pa.table({"r": np.random.default_rng(0).normal(size=500), "roi": ["V1v", "hV4"] * 250})


def listed(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir())


def break_off(path: Path) -> None:
    with atomic_write(path) as beside:
        beside.write_text("half of")
        raise OSError(28, "No space left on device")


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    with pytest.raises(OSError, match="No space"):
        break_off(path)
    assert listed(tmp_path) == []
    write_text(path, "whole")
    with pytest.raises(OSError, match="No space"):
        break_off(path)
    assert listed(tmp_path) == ["note.json"]
    assert path.read_text() == "whole"


OPERATIONS = ("write_text", "write_parquet", "write_tensors")


def write_with(operation: str, path: Path) -> None:
    if operation == "write_text":
        write_text(path, "content")
    elif operation == "write_parquet":
        write_parquet(path, TABLE)
    else:
        write_tensors(path, {"w": torch.arange(6.0)})


def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what is flushed, renamed and uploaded, in order."""
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flush(descriptor: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        content = "" if is_directory else f" {os.fstat(descriptor).st_size > 0}"
        calls.append(f"fsync {'directory' if is_directory else 'file'}{content}")
        fsync(descriptor)

    def rename(source: Path, target: Path) -> None:
        calls.append(f"rename to {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    monkeypatch.setattr(
        atomic, "upload", lambda source, path: calls.append(f"upload as {path.name}")
    )
    return calls


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_file_is_flushed_then_uploaded_then_renamed_then_its_directory_is_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """A power cut leaves the old content or the new, and S3 has it before this machine."""
    calls = traced(monkeypatch)
    write_with(operation, tmp_path / "note")
    assert calls == ["fsync file True", "upload as note", "rename to note", "fsync directory"]


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_file_has_the_mode_of_the_umask(tmp_path: Path, operation: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_with(operation, tmp_path / "new" / "note")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "note").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o777 & ~umask


def test_two_threads_write_the_same_file_at_once(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "note") as first, atomic_write(tmp_path / "note") as second:
        first.write_text("first")
        second.write_text("second")
    assert listed(tmp_path) == ["note"]
    assert (tmp_path / "note").read_text() == "first"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_reported_in_one_line_with_where_and_what_is_free(
    tmp_path: Path, number: int
) -> None:
    with pytest.raises(DiskFull) as refused, atomic_write(tmp_path / "note"):
        raise OSError(number, os.strerror(number))
    message = str(refused.value)
    assert message.startswith(f"{os.strerror(number)} in {tmp_path}: ")
    assert "MB are free; free some space" in message
    assert "\n" not in message
    assert failure_of(refused.value).kind == "disk-full"
    assert listed(tmp_path) == []


def test_what_a_checkpoint_lacks_is_said_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_space, "free_bytes", lambda directory: 1_000_000)
    with pytest.raises(
        DiskFull, match=r"4\.0 MB are needed, 1\.0 MB are free, 3\.0 MB are missing"
    ):
        write_tensors(tmp_path / "w.safetensors", {"w": torch.zeros(1_000_000)})
    assert listed(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Error while serializing: I/O error: No space left on device (os error 28)", "disk-full"),
        ("Error while serializing: I/O error: Disk quota exceeded (os error 122)", "disk-full"),
        ("Error while serializing: I/O error: Input/output error (os error 5)", "input"),
        ("Error while serializing", "input"),
    ],
)
def test_an_error_of_safetensors_is_one_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: str
) -> None:
    def save(*_: object, **__: object) -> None:
        raise SafetensorError(text)

    monkeypatch.setattr(tensor_files, "save_file", save)
    with pytest.raises(OSError, match=str(tmp_path)) as refused:
        write_tensors(tmp_path / "w", {"w": torch.zeros(2)})
    assert failure_of(refused.value).kind == kind


def test_lines_are_appended_below_new_directories_and_uploaded_when_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uploaded: list[tuple[Path, Path]] = []
    monkeypatch.setattr(atomic, "upload", lambda *paths: uploaded.append(paths))
    path = tmp_path / "of" / "two" / "log.jsonl"
    append_line(path, "ä", to_s3=False)
    assert uploaded == []
    append_line(path, "b", to_s3=True)
    assert uploaded == [(path, path)]
    assert path.read_bytes() == "ä\nb\n".encode()


def test_a_table_comes_back_as_it_was(tmp_path: Path) -> None:
    write_parquet(tmp_path / "deep" / "t.parquet", TABLE)
    assert read_parquet(tmp_path / "deep" / "t.parquet").equals(TABLE)
    assert read_parquet(tmp_path / "deep" / "t.parquet", ["roi"]).column_names == ["roi"]


@example(place=0.98, bit=2)  # in a page's header, which no checksum covers
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_turned_bit_is_found_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    path = tmp_path_factory.mktemp("bits") / "t.parquet"
    write_parquet(path, TABLE)
    content = bytearray(path.read_bytes())
    footer = int.from_bytes(content[-8:-4], "little") + 8
    content[4 + int(place * (len(content) - footer - 4))] ^= 1 << bit
    path.write_bytes(content)
    try:
        found = read_parquet(path)
    except (OSError, pa.ArrowException):
        return
    assert found.equals(TABLE)
