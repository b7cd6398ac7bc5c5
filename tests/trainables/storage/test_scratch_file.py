"""Scratch files take their disk space at once, and none is left, whatever ends the process."""

import ctypes
import errno
import gc
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainables.exceptions import DiskFull
from trainables.storage import scratch_file
from trainables.storage.scratch_file import ScratchFile

N_BYTES = 3 * 2**16
OPEN_FILES = Path("/proc/self/fd")


@pytest.fixture(params=["nameless", "unlinked"])
def directory(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A directory on a file system with nameless files, and on one without."""
    opened = os.open

    def without_nameless(path: Any, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return opened(path, flags, mode)

    if request.param == "unlinked":
        monkeypatch.setattr(os, "open", without_nameless)
    return tmp_path / "not" / "yet"


class Libc:
    """A C library whose calls of fallocate end with given error numbers; 0: success."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)

    def fallocate(self, *_: object) -> int:
        ctypes.set_errno(number := self.numbers.pop(0))
        return -1 if number else 0


def fail(number: int) -> Any:
    def call(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return call


def test_content_is_read_as_it_was_written(directory: Path) -> None:
    file = ScratchFile(directory, N_BYTES)
    content = np.random.default_rng(0).integers(0, 256, N_BYTES, np.uint8)
    file.write(content[1000:].reshape(-1, 8), 1000)
    file.write(memoryview(content)[:1000], 0)
    mapped = file.map()
    assert bytes(mapped) == content.tobytes()
    part = bytearray(50)
    assert file.read_into([part], 990) == 50
    assert part == content[990:1040].tobytes()
    file.write(b"later", 7)
    file.close()
    file.close()
    assert mapped[7:12] == b"later"


def test_it_has_no_name_from_the_start(directory: Path) -> None:
    file = ScratchFile(directory, N_BYTES)
    assert list(directory.iterdir()) == []
    assert os.fstat(file.fileno()).st_nlink == 0


def test_its_space_is_taken_before_it_is_written(directory: Path) -> None:
    file = ScratchFile(directory, N_BYTES)
    status = os.fstat(file.fileno())
    assert status.st_size == N_BYTES
    assert 512 * status.st_blocks >= N_BYTES


def test_it_is_closed_when_nothing_refers_to_it(directory: Path) -> None:
    file = ScratchFile(directory, 0)
    number = file.fileno()
    del file
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_error_when_it_is_made_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    n_open = len(list(OPEN_FILES.iterdir()))
    with monkeypatch.context() as patch:
        patch.setattr(scratch_file, "_LIBC", Libc(number))
        with pytest.raises(DiskFull, match=f"{os.strerror(number)} in {tmp_path}"):
            ScratchFile(tmp_path, N_BYTES)
    gc.collect()
    assert len(list(OPEN_FILES.iterdir())) == n_open
    file = ScratchFile(tmp_path, N_BYTES)
    monkeypatch.setattr(os, "pwrite", fail(number))
    with pytest.raises(DiskFull, match=f"{os.strerror(number)} in {tmp_path}"):
        file.write(b"content", 0)


def test_more_than_is_free_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match=r"MB are needed, .* MB are free, .* MB are missing"):
        ScratchFile(tmp_path, 2**60)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_that_reserves_no_space_will_do(
    directory: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(scratch_file, "_LIBC", Libc(number))
    file = ScratchFile(directory, N_BYTES)
    assert os.fstat(file.fileno()).st_blocks == 0  # nothing is written twice
    assert bytes(file.map()) == bytes(N_BYTES)


def test_a_reservation_that_a_signal_interrupts_goes_on(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libc = Libc(errno.EINTR, 0)
    monkeypatch.setattr(scratch_file, "_LIBC", libc)
    ScratchFile(directory, N_BYTES)
    assert libc.numbers == []


def test_another_error_is_not_taken_for_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch_file, "_LIBC", Libc(errno.EIO))
    with pytest.raises(OSError, match="Input/output error") as found:
        ScratchFile(tmp_path, N_BYTES)
    assert not isinstance(found.value, DiskFull)


def test_a_directory_that_is_removed_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, opened, calls = tmp_path / "scratch", os.open, []

    def late(path: Any, *rest: Any) -> int:
        calls.append(path)
        if len(calls) == 1:
            home.rmdir()
        return opened(path, *rest)

    monkeypatch.setattr(os, "open", late)
    assert ScratchFile(home, 1).fileno() > 0


def test_the_system_is_asked_to_read_a_part_ahead(tmp_path: Path, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *arguments: asked.append(arguments))
    file = ScratchFile(tmp_path, 4096)
    file.will_read(1024, 512)
    assert asked == [(file.fileno(), 1024, 512, os.POSIX_FADV_WILLNEED)]
