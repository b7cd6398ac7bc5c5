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
    """Return when a process started, in ticks since boot; "" if there is none, or a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _born_elsewhere(pid)
    state, *fields = status.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]


def _born_elsewhere(pid: int) -> str:
    """Return whether a process exists, as text, on systems without /proc."""
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return "running"  # of another user
    except (OSError, OverflowError):
        return ""
    return "running"


def this_owner() -> str:
    """Name this process for use in a file name: ``MACHINE-PID-START``."""
    return _owner(os.getpid())


@cache
def _owner(pid: int) -> str:
    return f"{_machine_digest()}-{pid}-{born(pid)}"


def owner_runs(owner: str) -> bool | None:
    """Return whether the process that ``this_owner`` named still runs.

    None: it ran on another machine or in another container, so this process can't know.
    """
    where, pid, start = owner.split("-")
    if where != _machine_digest():
        return None
    return born(int(pid)) == start


def _machine_digest() -> str:
    return hashlib.sha256(machine().encode()).hexdigest()[:_DIGITS]
