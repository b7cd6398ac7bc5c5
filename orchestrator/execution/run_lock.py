"""The run lock, which allows one command at a time on a sweep's directory.

Each owner has a numbered file, and the highest number is the current lock. Its owner renews it
while it runs. A lock file is created by a hard link, which only one of several processes on a
shared file system can make, and is not removed by others: a process that finds the highest lock
released, or its owner dead, takes the next number. On this host a dead owner is detected at once,
on another host after EXPIRES seconds without renewal.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final, Self

from orchestrator.cli.errors import InputError
from orchestrator.cli.signals import interrupt, interruptible
from trainables.results.run_directory import RunDirectory
from trainables.spec.fields import Int, Number, Text
from trainables.spec.records import read_record, record
from trainables.storage.atomic import write_text
from trainables.storage.s3_mirror import create

RENEW: Final = 5.0
"""Seconds between renewals."""
EXPIRES: Final = 60.0
"""Seconds without renewal after which an owner on another host is considered dead."""
KEPT: Final = 8
"""Number of lock files of former owners that are kept."""


def owner_of(runs: RunDirectory) -> "LockOwner | None":
    """Read the owner of a sweep's run lock, alive or dead; None if it is free."""
    numbers = _numbers(runs)
    return LockOwner.read(runs.lock_file(numbers[-1])) if numbers else None


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
        return cls(key, socket.gethostname(), _machine(), pid, _born(pid), command, now, now)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a run lock; return None if it is free, or if its file can't be read."""
        try:
            return read_record(path, cls, "remove it")
        except (FileNotFoundError, ValueError):
            return None

    def describe(self) -> str:
        """Describe the owner for messages."""
        try:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        except (OverflowError, OSError, ValueError):
            since = f"{self.since:g} s after 1970"
        return f"{self.command}, process {self.pid} on {self.host}, since {since}"

    def is_gone(self) -> bool | None:
        """Return whether its process has ended; None if this host can't know."""
        if self.machine != _machine():
            return None
        return _born(self.pid) != self.born


@contextmanager
def acquire(runs: RunDirectory, command: str) -> Iterator[None]:
    """Hold a sweep's run lock within the block; create the directory if it is absent.

    Raises InputError naming the owner if the lock is taken; within the block KeyboardInterrupt, as
    on Ctrl-C, if ``sweep cancel`` requests it or another process has taken the lock.
    """
    owner = LockOwner.this_process(command)
    path = _create_lock(runs, owner)
    ended = threading.Event()
    keeper = threading.Thread(
        target=_keep, args=(runs, path, owner, ended), name="run-lock", daemon=True
    )
    keeper.start()
    try:
        with interruptible():
            runs.fetch(prune=True)
            yield
    finally:
        ended.set()
        keeper.join(RENEW)
        _release(path, owner)


def _create_lock(runs: RunDirectory, owner: LockOwner) -> Path:
    """Create the run lock under the next number; return its file."""
    beside = runs.new_lock_file(owner.key)
    beside.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text(json.dumps(asdict(owner)), encoding="utf-8")
    try:
        while (path := _take(runs, beside)) is None:
            pass  # another process has just taken it
    finally:
        beside.unlink(missing_ok=True)
    runs.remove(runs.cancel_file)
    return path


def _take(runs: RunDirectory, run_lock: Path) -> Path | None:
    """Take the next number unless the last owner lives; None if another process was faster."""
    numbers = _numbers(runs)
    last = numbers[-1] if numbers else 0
    _check_free(runs, last)
    path = runs.lock_file(last + 1)
    try:
        create(run_lock, path)
    except FileExistsError:
        return None
    if _numbers(runs)[-1] != last + 1:  # this number had been taken, and its file removed since
        runs.remove(path)
        return None
    for number in numbers:
        if number <= last + 1 - KEPT:
            runs.remove(runs.lock_file(number))
    return path


def _check_free(runs: RunDirectory, number: int) -> None:
    path = runs.lock_file(number)
    other = LockOwner.read(path)
    if other is not None and is_alive(runs, path, other):
        raise InputError(
            f"{runs}: in use by {other.describe()}; two commands would do the same work: "
            f"wait for it, stop it with python -m orchestrator.sweep cancel --out {runs}, "
            "or give another --out"
        )


def is_alive(
    runs: RunDirectory, path: Path, owner: LockOwner, wait: Callable[[float], None] = time.sleep
) -> bool:
    """Return whether a run lock's owner lives; for another host, wait for a renewal.

    Clocks of two hosts may differ, so neither an old renewal nor one in the future is conclusive.
    """
    gone = owner.is_gone()
    if gone is not None:
        return not gone
    if abs(time.time() - owner.renewed) < EXPIRES:
        return True
    wait(2 * RENEW + 1)
    later = LockOwner.read(runs.fetched(path))
    return later is not None and later != owner


def _keep(runs: RunDirectory, path: Path, owner: LockOwner, ended: threading.Event) -> None:
    """Renew the run lock until the block ends; interrupt the process when it has to stop."""
    cancel = runs.cancel_file
    while not ended.wait(RENEW):
        try:
            there = owner_of(runs)
            if there is not None and there.key != owner.key:
                return interrupt(f"{there.describe()} has taken {runs} over")
            if cancel.exists() and cancel.read_text(encoding="utf-8").strip() in ("", owner.key):
                return interrupt("asked to stop by sweep cancel")
            write_text(path, json.dumps({**asdict(owner), "renewed": time.time()}))
        except OSError:
            continue  # a full disk, or an unreachable shared one: try again later
    return None


def _release(path: Path, owner: LockOwner) -> None:
    """Mark the lock as released, and keep its file so that its number is not used again."""
    there = LockOwner.read(path)
    if there is not None and there.key == owner.key:
        with suppress(OSError):  # a full disk: the lock is free once this process has ended
            write_text(path, "")


def _numbers(runs: RunDirectory) -> list[int]:
    """List the numbers of existing locks, ascending, after fetching the directory."""
    runs.operation.fetch()
    return runs.lock_numbers()


def _machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    try:
        return f"{boot.read_text(encoding='utf-8').strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return socket.gethostname()


def _born(pid: int) -> str:
    """Return when a process started, in ticks since boot; "" if there is none, or a zombie."""
    try:
        state, *fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        )
    except OSError:
        return _born_elsewhere(pid)
    return "" if state in "ZX" else fields[18]


def _born_elsewhere(pid: int) -> str:
    """Return whether a process exists, as text, on systems without /proc."""
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except OSError:
        return ""
    return "running"
