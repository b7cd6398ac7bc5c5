"""File systems that refuse what others do, and files that a user may not read."""

import errno
import io
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
    opened, io_opened = os.open, io.open

    def check(path: Any) -> None:
        if isinstance(path, str | Path) and Path(path).name.startswith(beginning):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def checked_os(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if not flags & (os.O_WRONLY | os.O_RDWR):
            check(path)
        return opened(path, flags, *rest, **options)

    def checked_io(path: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if "r" in mode:
            check(path)
        return io_opened(path, mode, *rest, **options)

    monkeypatch.setattr(os, "open", checked_os)
    monkeypatch.setattr(io, "open", checked_io)  # of Path.open and Path.read_bytes
