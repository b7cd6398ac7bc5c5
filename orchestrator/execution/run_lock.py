"""One command at a time on a sweep's directory: a run lock, renewed while its owner lives.

Each owner has a numbered file, and the highest number holds. It is made by a hard link, which
exactly one of several processes on a shared file system can make, and nobody takes another's
away: whoever sees the highest free, or its owner dead, takes the next number. An owner is seen
to be dead at once where it ran on this host, else after EXPIRES seconds without renewal.
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
from orchestrator.cli.process import interrupt, interruptible
from trainables.results.run_directory import RunDirectory
from trainables.spec.fields import Int, Number, Text
from trainables.spec.records import read_record, record
from trainables.storage.atomic import write_text
from trainables.storage.s3_mirror import create

RENEW: Final = 5.0
"""Seconds between renewals."""
EXPIRES: Final = 60.0
"""Seconds without renewal after which an owner on another host is taken for dead."""
KEPT: Final = 8
"""Run locks of former owners that are left, the free and the dead."""


def owner_of(runs: RunDirectory) -> "LockOwner | None":
    """Read who holds a sweep's directory, alive or dead; None where nobody does."""
    numbers = _numbers(runs)
    return LockOwner.read(runs.lock_file(numbers[-1])) if numbers else None


@record
class LockOwner:
    """Who holds a run lock, as its file tells."""

    key: Text
    """Drawn at random for each command."""
    host: Text
    machine: Text
    """The kernel's boot and process namespace: where ``pid`` has a meaning."""
    pid: Int
    born: Text
    """The process' start in clock ticks since boot: another process may get the same pid."""
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
        """Read a run lock; None where nobody holds it, or the file says nothing."""
        try:
            return read_record(path, cls, "remove it")
        except (FileNotFoundError, ValueError):
            return None

    def describe(self) -> str:
        """Say who it is, for people."""
        try:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        except (OverflowError, OSError, ValueError):
            since = f"{self.since:g} s after 1970"
        return f"{self.command}, process {self.pid} on {self.host}, since {since}"

    def is_gone(self) -> bool | None:
        """Tell whether its process has ended; None where that can't be seen from here."""
        if self.machine != _machine():
            return None
        return _born(self.pid) != self.born


@contextmanager
def acquire(runs: RunDirectory, command: str) -> Iterator[None]:
    """Hold a sweep's run lock within the block; create the directory where it is absent.

    Raises InputError, with who holds it, where somebody does; within the block KeyboardInterrupt,
    as on Ctrl-C, when ``sweep cancel`` asks for it or another process has taken the run lock.
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
    """Link the run lock into the next place; return its file."""
    beside = runs.new_lock_file(owner.key)
    beside.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text(json.dumps(asdict(owner)))
    try:
        while (path := _take(runs, beside)) is None:
            pass  # another has taken it in this instant
    finally:
        beside.unlink(missing_ok=True)
    runs.remove(runs.cancel_file)
    return path


def _take(runs: RunDirectory, run_lock: Path) -> Path | None:
    """Take the next number unless the last owner lives; None where another was faster."""
    numbers = _numbers(runs)
    last = numbers[-1] if numbers else 0
    _check_free(runs, last)
    path = runs.lock_file(last + 1)
    try:
        create(run_lock, path)
    except FileExistsError:
        return None
    if _numbers(runs)[-1] != last + 1:  # this number had been given, and cleared away since
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
            f"{runs}: in use by {other.describe()}; two at once would do the same work: "
            f"wait for it, stop it by python -m orchestrator.sweep cancel --out {runs}, "
            "or give another --out"
        )


def is_alive(
    runs: RunDirectory, path: Path, owner: LockOwner, wait: Callable[[float], None] = time.sleep
) -> bool:
    """Tell whether a run lock's owner lives; where only its renewals can tell, watch for one.

    Clocks of two hosts may differ, so an old renewal alone proves nothing, nor one in the future.
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
    """Renew the run lock until the block has ended; interrupt the process when it has to stop."""
    cancel = runs.cancel_file
    while not ended.wait(RENEW):
        try:
            there = owner_of(runs)
            if there is not None and there.key != owner.key:
                return interrupt(f"{there.describe()} has taken {runs} over")
            if cancel.exists() and cancel.read_text().strip() in ("", owner.key):
                return interrupt("asked to stop by sweep cancel")
            write_text(path, json.dumps({**asdict(owner), "renewed": time.time()}))
        except OSError:
            continue  # a full disk or a shared one that is away: the next time may do
    return None


def _release(path: Path, owner: LockOwner) -> None:
    """Leave the number as taken and free, so that it is never given twice."""
    there = LockOwner.read(path)
    if there is not None and there.key == owner.key:
        with suppress(OSError):  # a full disk: it is free when this process has ended
            write_text(path, "")


def _numbers(runs: RunDirectory) -> list[int]:
    """List the numbers that were given, ascending; what else is there is up to date then."""
    runs.operation.fetch()
    return runs.lock_numbers()


def _machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    try:
        return f"{boot.read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return socket.gethostname()


def _born(pid: int) -> str:
    """Say when a process started; "" where there is none, or it is a zombie."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _born_elsewhere(pid)
    return "" if state in "ZX" else fields[18]


def _born_elsewhere(pid: int) -> str:
    """Without /proc files of processes, a process is only there or not."""
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except OSError:
        return ""
    return "running"
