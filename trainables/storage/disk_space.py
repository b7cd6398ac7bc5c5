"""Full disks: recognised by error number, and described by how much is missing, and where."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from trainables.exceptions import DiskFull
from trainables.storage.local_files import existing_part

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk and of a used-up quota."""
_MEGABYTE: Final = 1e6


def check_room(directory: Path, needed: int) -> None:
    """Raise DiskFull if a file of so many bytes can't be written to a directory."""
    if free_bytes(directory) < needed:
        raise full(directory, needed)


def full(directory: Path, needed: int | None, number: int = errno.ENOSPC) -> DiskFull:
    """Make the error of a full disk, which says how much is missing, and where.

    needed: bytes of the file; None if unknown. number: ENOSPC, or EDQUOT for a quota.
    """
    free = free_bytes(directory)
    room = f"{free / _MEGABYTE:,.1f} MB are free"
    if needed is not None and needed > free:
        missing = (needed - free) / _MEGABYTE
        room = f"{needed / _MEGABYTE:,.1f} MB are needed, {room}, {missing:,.1f} MB are missing"
    return DiskFull(
        number,
        f"{os.strerror(number)} in {directory}: {room}; free some space, and run the same command "
        "again to continue",
    )


@contextmanager
def full_disk_described(directory: Path) -> Iterator[None]:
    """Convert an error of a full disk, raised by the block, to DiskFull."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or isinstance(error, DiskFull):
            raise
        raise full(directory, None, error.errno) from error


def free_bytes(directory: Path) -> int:
    """Return the free bytes of the file system that holds a directory."""
    return shutil.disk_usage(existing_part(directory)).free
