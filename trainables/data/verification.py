"""Verify the files of subjects and tasks against their manifests before they are read.

Each process hashes a file once. A file counts as the same as long as its path, size, times of
modification and inode are; that is also how a process trusts what another process has verified.
"""

import hashlib
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.data.data_directory import (
    RowKind,
    listed_files,
    manifest_file,
    row_files,
    vertices_file,
)
from trainables.exceptions import Denied
from trainables.storage.atomic import read_parquet
from trainables.wording import some

_logger = logging.getLogger(__name__)

CURE: Final = "remove its directory and ingest again"


class FileState(NamedTuple):
    """What identifies the version of a file on this machine."""

    path: str
    size: int
    modified: int
    """When the content was written, in nanoseconds since 1970; a program can set it."""
    changed: int
    """When content or attributes were written: tells apart files that reuse an inode."""
    inode: int


_digests: Final[dict[FileState, str]] = {}
"""SHA-256 of the files that this process has hashed."""


def verify(path: Path, expected: str, known: FileState | None = None) -> FileState:
    """Compare a file's SHA-256 with the expected one, unless this version is known to agree.

    known: the version of the file that another process has verified. Raises ValueError with the
    file's name when it is missing, no regular file, unreadable, or another one.
    """
    with naming(path), _open_regular(path) as file:
        state = _state(path, file)
        if state == known:
            return state
        if state not in _digests:
            with os.fdopen(os.dup(file), "rb") as stream:
                _digests[state] = hashlib.file_digest(stream, "sha256").hexdigest()
    if _digests[state] != expected:
        raise ValueError(
            f"{path}: damaged or of another ingest (expected SHA-256 {expected[:12]}…, as in its "
            f"manifest, found {_digests[state][:12]}…); {CURE}"
        )
    return state


@contextmanager
def _open_regular(path: Path) -> Iterator[int]:
    """Open a file to read, and refuse a FIFO or device without waiting for it."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError("no regular file")
        yield file
    finally:
        os.close(file)


def _state(path: Path, file: int) -> FileState:
    status = os.fstat(file)
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return FileState(str(path), status.st_size, *times, status.st_ino)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Convert errors of reading a file to a ValueError that names the file and the cure.

    Denied, if this user may not read it.
    """
    try:
        yield
    except PermissionError as error:
        raise Denied.of(path, error) from error
    except (OSError, pa.ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ValueError(f"{path}: damaged or missing ({reason}); {CURE}") from error


def verified_row_files(directory: Path, kind: RowKind = "rows") -> dict[Path, FileState]:
    """List the row files that a subject's or task's manifest lists, in order, each verified.

    Further files in the directory are named in a warning, once, and are not read. Raises
    ValueError as :func:`verify` does.
    """
    expected = listed_files(directory)
    strangers = sorted(
        path.name
        for path in directory.iterdir()
        if path.name not in (*expected, manifest_file(directory).name) and path.name[0] != "."
    )
    if strangers:
        warn_once(
            f"{directory}: {len(strangers)} files that its manifest does not list are not read: "
            f"{some(strangers)}"
        )
    return {path: verify(path, expected[path.name]) for path in row_files(directory, kind)}


@cache
def warn_once(message: str) -> None:
    """Log a warning the first time that it is given in this process."""
    _logger.warning("%s", message)


def read_vertex_table(shard: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read columns of a subject's vertices, verified; None: all that there are.

    Raises ValueError as :func:`verify` does.
    """
    path = vertices_file(shard)
    expected = listed_files(shard)
    if path.name not in expected:
        raise ValueError(f"{path}: expected in its manifest, found {sorted(expected)}; {CURE}")
    verify(path, expected[path.name])
    with naming(path):
        return read_parquet(path, columns)


class RowCheck:
    """Checks that the rows of a subject or task are each read exactly once.

    directory: named in errors. n_rows: number of rows in its manifest.
    """

    def __init__(self, directory: Path, n_rows: int) -> None:
        self._directory = directory
        self._counts = np.zeros(n_rows, np.int64)

    def add(self, rows: NDArray[np.integer]) -> None:
        """Count the row numbers of a block; raise ValueError for one that can't be."""
        outside = rows[(rows < 0) | (rows >= len(self._counts))]
        if len(outside):
            raise self._error(f"expected rows 0 to {len(self._counts) - 1}, found {outside[0]}")
        np.add.at(self._counts, rows, 1)

    def finish(self) -> None:
        """Raise ValueError when a row is missing, or was read twice."""
        n_rows, n_read = len(self._counts), int(self._counts.sum())
        if n_read != n_rows:
            raise self._error(f"expected {n_rows} rows, as in its manifest, found {n_read}")
        twice = np.flatnonzero(self._counts > 1)
        if len(twice):
            missing = np.flatnonzero(self._counts == 0)
            raise self._error(
                f"expected each row once, found row {twice[0]} twice and row {missing[0]} missing"
            )

    def _error(self, message: str) -> ValueError:
        return ValueError(f"{self._directory}: {message}; remove it and ingest again")
