"""Temporary files for data that is too large for memory, which vanish with their process."""

import ctypes
import errno
import mmap
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from trainables.storage.disk_space import check_room, full_disk_described
from trainables.storage.temporary_files import temporary_name

_UNSUPPORTED: Final = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""Error numbers of a file system that can't do something."""
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class ScratchFile:
    """A file without a name, of a fixed size, whose disk space is reserved before it is written.

    It is freed when it is closed, or when its process ends in any way. Content is written by system
    calls and not through memory, so that a full disk is an error and not a SIGBUS.

    directory: where its disk space is taken. Raises DiskFull if there is too little, and OSError.
    """

    def __init__(self, directory: Path, n_bytes: int) -> None:
        self._directory = directory
        self._n_bytes = n_bytes
        self._file = _open_unlinked(directory)
        self._close = weakref.finalize(self, os.close, self._file)
        try:
            self._reserve()
        except BaseException:
            self.close()
            raise

    def _reserve(self) -> None:
        check_room(self._directory, self._n_bytes)
        with full_disk_described(self._directory):
            try:
                _reserve_space(self._file, max(self._n_bytes, 1))
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
                os.ftruncate(self._file, max(self._n_bytes, 1))

    def fileno(self) -> int:
        """Return the descriptor of the open file."""
        return self._file

    def write(self, content: Any, offset: int) -> None:
        """Write a contiguous buffer at an offset in bytes; raise DiskFull, or OSError."""
        left = memoryview(content).cast("B")
        with full_disk_described(self._directory):
            while left:
                n_written = os.pwrite(self._file, left, offset)
                left, offset = left[n_written:], offset + n_written

    def will_read(self, offset: int, n_bytes: int) -> None:
        """Ask the system to read a part of the file in the background."""
        os.posix_fadvise(self._file, offset, n_bytes, os.POSIX_FADV_WILLNEED)

    def read_into(self, buffers: Sequence[Any], offset: int) -> int:
        """Read into buffers, one after another, from an offset; return the number of bytes."""
        return os.preadv(self._file, buffers, offset)

    def map(self) -> mmap.mmap:
        """Return the content as memory, which stays valid after the file is closed."""
        return mmap.mmap(self._file, max(self._n_bytes, 1))

    def close(self) -> None:
        """Free the file, unless it is mapped; do nothing if it is closed."""
        self._close()


def _reserve_space(file: int, n_bytes: int) -> None:
    """Reserve the disk space of a file by fallocate(2); raise OSError.

    posix_fallocate writes every block where a file system can't reserve space, as on NFSv3.
    """
    while _LIBC.fallocate(file, 0, ctypes.c_int64(0), ctypes.c_int64(n_bytes)) != 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


def _open_unlinked(directory: Path) -> int:
    """Create a file without a name, which only its descriptor refers to."""
    for attempt in range(2):
        directory.mkdir(parents=True, exist_ok=True)
        try:
            return _create(directory)
        except FileNotFoundError:  # another command has just removed the empty directory
            if attempt:
                raise
    raise AssertionError


def _create(directory: Path) -> int:
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:  # kernels and file systems without such files
        if error.errno not in (errno.EISDIR, *_UNSUPPORTED):
            raise
    path = directory / temporary_name("scratch")
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    path.unlink(missing_ok=True)  # the owner of the run lock may have removed it
    return file
