"""What is known of files until they change: that their content is right, and their hashes."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trainables.storage.atomic import hash_file

SETTLED_SECONDS: Final = 2.0
"""A file that has just changed may change again within the resolution of its time of change."""


@dataclass(frozen=True)
class FileState:
    """What changes when a file is written or replaced."""

    device: int
    inode: int
    size: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> "FileState | None":
        """Inspect a file; return None if that is impossible."""
        try:
            found = path.stat()
        except OSError:
            return None
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns)

    @property
    def is_settled(self) -> bool:
        """Return whether the file changed long enough ago that a further change is seen."""
        return time.time() - self.changed_ns / 1e9 > SETTLED_SECONDS


@dataclass(frozen=True)
class CheckedFiles:
    """The files that passed a check of their content, with their states before they were read."""

    _states: dict[Path, FileState] = field(default_factory=dict)

    def add(self, path: Path, state: FileState | None) -> None:
        """Add a file that passed; state: before it was read."""
        if state is not None and state.is_settled:
            self._states[path] = state

    def __contains__(self, path: Path) -> bool:
        """Return whether a file passed and has not changed since."""
        known = self._states.get(path)
        return known is not None and known == FileState.of(path)


_HASHES: Final[dict[Path, tuple[FileState, str]]] = {}


def hash_unchanged(path: Path) -> str:
    """Hash a file's bytes (SHA-256, hex), once in this process until the file changes."""
    state = FileState.of(path)
    known = _HASHES.get(path)
    if known is not None and known[0] == state:
        return known[1]
    found = hash_file(path)
    if state is not None and state.is_settled:
        _HASHES[path] = state, found
    return found
