"""Primitives of a file system: atomic renames, files that only one process can create, paths."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""What link() reports on file systems without hard links: exFAT, SMB, many FUSE mounts."""


def existing_part(path: Path) -> Path:
    """Return a path, or the nearest directory above it that exists and that this user can see."""
    absolute = path.absolute()
    return next(one for one in (absolute, *absolute.parents) if os.path.exists(one))  # noqa: PTH110


def sync_file(path: Path) -> None:
    """Flush a file's content to disk."""
    _sync(path, os.O_RDONLY)


def sync_directory(path: Path) -> None:
    """Flush a directory's names to disk, where its file system supports that."""
    with suppress(OSError):
        _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(source: Path, path: Path) -> None:
    """Rename a file or directory so that the new name survives a power cut."""
    source.replace(path)
    sync_directory(path.parent)


def create(source: Path, path: Path) -> None:
    """Make source available under a new name, which exactly one of several processes can create.

    A hard link is atomic on every file system that has hard links, NFS included. Without them,
    an empty file is created exclusively (O_EXCL: atomic on local disks, SMB, and NFS since version
    3) and replaced by source, which is removed. An empty file is therefore one whose creator has
    not finished yet. Raises FileExistsError if path exists.
    """
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        source.replace(path)
    sync_directory(path.parent)
