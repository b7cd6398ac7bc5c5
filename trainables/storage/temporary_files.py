"""Temporary files and directories: named by their owner, and removed once nobody owns them.

``.NAME.partial-MACHINE-PID-START-NUMBER`` is on its way to become NAME. If its process is killed,
the next command that owns the directory removes it: at once if the process ran on the same machine,
else when the file has not changed for ABANDONED_SECONDS by the clock of its file system. The clocks
of two machines are never compared.
"""

import itertools
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from trainables.storage.processes import owner_runs, this_owner

ABANDONED_SECONDS: Final = 24 * 3600.0
"""Seconds without change after which another machine's temporary file is abandoned."""
_NAME_LENGTH: Final = 40
"""Characters of the final name that a temporary name repeats, for a reader of the directory."""
_PATTERN: Final = re.compile(r"\..*\.partial-([0-9a-f]{12}-\d+-\w*)-\d+(\.\w+)?", re.DOTALL)
"""Matches temporary names; boto3 appends letters to the name that it downloads to."""
_number: Final = itertools.count()


def temporary_name(name: str) -> str:
    """Return a new hidden name for a file or directory on its way to a name."""
    return f".{name[:_NAME_LENGTH]}.partial-{this_owner()}-{next(_number)}"


def is_temporary(path: Path) -> bool:
    """Return whether a path has a temporary name of this module."""
    return _PATTERN.fullmatch(path.name) is not None


def is_owned(path: Path, now: float | None = None) -> bool:
    """Return whether a temporary file or directory may still be written to.

    now: the time by the clock of its file system, if it is known.
    """
    match = _PATTERN.fullmatch(path.name)
    if match is None:
        return True
    runs = owner_runs(match[1])
    if runs is not None:
        return runs
    now = _file_system_time(path.parent) if now is None else now
    return now is None or now - _changed(path) < ABANDONED_SECONDS


def remove_abandoned(home: Path, *, below: bool = True, skip: tuple[str, ...] = ()) -> list[Path]:
    """Remove temporary files and directories that nobody owns; return their paths, sorted.

    below: whether to search subdirectories too. skip: names of subdirectories of home to leave.
    A path that can't be removed is left.
    """
    now: float | None = None
    removed = []
    for path in sorted(_temporaries(home, below, skip)):
        if now is None:
            now = _file_system_time(home)
        if not is_owned(path, now):
            _remove(path)
            removed.append(path)
    return removed


def _temporaries(home: Path, below: bool, skip: tuple[str, ...]) -> Iterator[Path]:
    """List temporary files and directories; those inside a temporary directory belong to it."""
    with suppress(OSError), os.scandir(home) as entries:
        for entry in entries:
            path = Path(entry.path)
            if is_temporary(path):
                yield path
            elif below and entry.name not in skip and entry.is_dir(follow_symlinks=False):
                yield from _temporaries(path, below, ())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _changed(path: Path) -> float:
    """Return when a file, or the last changed file of a directory, was changed."""
    times = [0.0]
    for one in (path, *path.rglob("*")):
        with suppress(OSError):
            times.append(one.lstat().st_mtime)
    return max(times)


def _file_system_time(home: Path) -> float | None:
    """Return the time by the clock of a file system; None if nothing can be written there."""
    path = home / temporary_name("clock")
    try:
        path.touch()
        return path.stat().st_mtime
    except OSError:
        return None
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
