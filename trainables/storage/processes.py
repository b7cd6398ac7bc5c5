"""Processes as owners of files: a text that names one, and whether it still runs."""

import hashlib
import os
import socket
from functools import cache
from pathlib import Path
from typing import Final

_DIGITS: Final = 12
"""Hexadecimal digits of a machine's digest in an owner's text."""


def machine() -> str:
    """Name the scope in which a process id is unique: a boot of a kernel, and a pid namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    try:
        return f"{boot.read_text(encoding='utf-8').strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return socket.gethostname()


def born(pid: int) -> str:
    """Return when a process started, in ticks since boot; "" if there is none to be seen."""
    return _born(pid) or ""


def still_runs(pid: int, start: str) -> bool | None:
    """Return whether a process of this machine runs that started at a time, as by ``born``.

    None: another user's process has this id, and its start is hidden (``hidepid`` of /proc).
    """
    found = _born(pid)
    return None if found is None else found == start


def _born(pid: int) -> str | None:
    """Return when a process started; "" if there is none, or a zombie, None if it is hidden."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _born_unseen(pid)
    state, *fields = status.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]


def _born_unseen(pid: int) -> str | None:
    """Return "" if a process without a readable file in /proc does not exist.

    If it does: None, or "running" for one of this user on systems without /proc.
    """
    if pid < 1:  # to kill, a group of processes
        return ""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return None  # of another user
    except (OSError, OverflowError):
        return ""
    return None if Path("/proc/self/stat").exists() else "running"


def this_owner() -> str:
    """Name this process for use in a file name: ``MACHINE-PID-START``."""
    return _owner(os.getpid())


@cache
def _owner(pid: int) -> str:
    return f"{_machine_digest()}-{pid}-{born(pid)}"


def owner_runs(owner: str) -> bool | None:
    """Return whether the process that ``this_owner`` named still runs.

    None: it ran on another machine or in another container, or another user's process may be it,
    so this process can't know.
    """
    where, pid, start = owner.split("-")
    if where != _machine_digest():
        return None
    return still_runs(int(pid), start)


def _machine_digest() -> str:
    return hashlib.sha256(machine().encode()).hexdigest()[:_DIGITS]
