"""File systems that refuse what others do, and files that a user may not read."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest


def refuse_links(monkeypatch: pytest.MonkeyPatch, number: int = errno.EPERM) -> None:
    """Make link() fail, as on exFAT, SMB and some FUSE mounts."""

    def link(source: Any, path: Any, **_: object) -> None:
        raise OSError(number, os.strerror(number), str(source), None, str(path))

    monkeypatch.setattr(os, "link", link)


def deny(monkeypatch: pytest.MonkeyPatch, beginning: str) -> None:
    """Make files whose names begin so unreadable, as another user's of mode 0600; root may all."""
    opened, read = Path.open, Path.read_bytes

    def check(path: Path) -> None:
        if path.name.startswith(beginning):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def checked_open(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if "r" in mode:
            check(path)
        return opened(path, mode, *rest, **options)

    def checked_read(path: Path) -> bytes:
        check(path)
        return read(path)

    monkeypatch.setattr(Path, "open", checked_open)
    monkeypatch.setattr(Path, "read_bytes", checked_read)
