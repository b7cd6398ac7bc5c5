"""The owner of a run lock, and whether it lives.

On its own machine a dead owner is detected at once. On another machine, or where its process is
hidden from this user, it is dead if its file does not change within EXPIRES seconds by this
process's monotonic clock. The owner's clock, which may differ from this one, decides nothing. An
empty file belongs to a process that is just taking the lock, and is observed in the same way.
"""

import os
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from trainables.exceptions import Denied
from trainables.results.run_directory import RunDirectory
from trainables.spec.fields import Int, Number, Text
from trainables.spec.records import read_record, record
from trainables.storage.processes import born, machine, still_runs

EXPIRES: Final = 25.0
"""Seconds of observation without a renewal after which another machine's owner is dead."""
OBSERVE: Final = 1.0
"""Seconds between two readings of another machine's run lock."""


@record
class LockOwner:
    """The owner of a run lock, as recorded in its file."""

    key: Text
    """Drawn at random for each command."""
    host: Text
    machine: Text
    """Boot id and process namespace of the kernel, within which ``pid`` is valid."""
    pid: Int
    born: Text
    """Start of the process in clock ticks since boot, as another process may get the same pid."""
    command: Text
    since: Number
    renewed: Number
    """Seconds since 1970, by the owner's clock."""

    @classmethod
    def this_process(cls, command: str) -> Self:
        """Describe this process as the owner of a new run lock."""
        now, pid = time.time(), os.getpid()
        key = uuid.uuid4().hex
        return cls(key, socket.gethostname(), machine(), pid, born(pid), command, now, now)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a run lock; return None if it is free or damaged.

        Raises Denied if this user may not read it.
        """
        try:
            return read_record(path, cls, "remove it")
        except Denied:
            raise
        except (FileNotFoundError, ValueError):
            return None

    def describe(self) -> str:
        """Describe the owner for messages."""
        return f"{self.command}, process {self.pid} on {self.host}, since {_date(self.since)}"

    def last_seen(self) -> str:
        """Return when it last renewed its lock, by its own clock, for messages."""
        return f"{_date(self.renewed)} by its clock"

    def is_gone(self) -> bool | None:
        """Return whether its process has ended; None if this host can't know."""
        if self.machine != machine():
            return None
        runs = still_runs(self.pid, self.born)
        return None if runs is None else not runs


def _date(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g} s after 1970"


class Observation:
    """A run lock's file as this process sees it change, by this process's clock alone."""

    def __init__(self, runs: RunDirectory, path: Path) -> None:
        self._runs = runs
        self._path = path
        self._content = self._read()
        self._since = time.monotonic()

    def changes(self) -> bool:
        """Return whether the file has changed since the last call, or the beginning."""
        content = self._read()
        if content == self._content:
            return False
        self._content, self._since = content, time.monotonic()
        return True

    def is_over(self) -> bool:
        """Return whether the file has not changed for EXPIRES seconds: its owner is dead."""
        return time.monotonic() - self._since >= EXPIRES

    def _read(self) -> bytes:
        try:
            return self._runs.fetched(self._path).read_bytes()
        except FileNotFoundError:
            return b""
        except PermissionError as error:
            raise Denied.of(self._path, error) from error


def is_alive(runs: RunDirectory, path: Path, wait: Callable[[float], None] = time.sleep) -> bool:
    """Return whether a run lock is owned; for another machine's owner, wait for a renewal.

    wait: sleeps for a number of seconds between two observations.
    """
    observation = Observation(runs, path)
    while True:
        owner = LockOwner.read(path)
        if owner is None and not _is_being_taken(path):
            return False
        gone = None if owner is None else owner.is_gone()
        if gone is not None:
            return not gone
        if observation.is_over():
            return False
        wait(OBSERVE)
        if observation.changes() and LockOwner.read(path) is not None:
            return True


def _is_being_taken(path: Path) -> bool:
    """Return whether a lock's file is still empty, as just after its exclusive creation."""
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return False
