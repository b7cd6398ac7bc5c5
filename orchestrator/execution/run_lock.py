"""The run lock, which allows one command at a time on a sweep's directory.

Each owner has a numbered file, and the highest number is the current lock. Its owner renews it
while it runs. A lock file is created by an operation in which exactly one of several processes
succeeds, also on a shared file system (``trainables.storage.local_files.create``) and in S3, and is
not removed by others: a process that finds the highest lock released, or its owner dead, takes the
next number. ``lock_owner`` decides whether an owner lives.
"""

import errno
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.cli.signals import interrupt, interruptible
from orchestrator.execution.lock_owner import LockOwner, is_alive
from trainables.exceptions import Denied
from trainables.results.run_directory import RunDirectory
from trainables.storage.atomic import write_text
from trainables.storage.disk_space import full_disk_described
from trainables.storage.local_files import sync_file
from trainables.storage.s3_mirror import create
from trainables.storage.temporary_files import temporary_name

RENEW: Final = 5.0
"""Seconds between renewals."""
RELEASED: Final = "released\n"
"""Content of a released lock's file."""
_UNWRITABLE: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR)
KEPT: Final = 8
"""Number of lock files of former owners that are kept."""


@contextmanager
def acquire(runs: RunDirectory, command: str) -> Iterator[None]:
    """Hold a sweep's run lock within the block; create the directory if it is absent.

    Temporary files that nobody owns are removed first. Raises InputError naming the owner if the
    lock is taken, if the directory can't be written to, or if it was moved or removed during the
    block; within the block KeyboardInterrupt, as on Ctrl-C, if ``sweep cancel`` requests it,
    another process has taken the lock, or the directory is gone.
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
            runs.fetch(prune=runs.path.rglob("*"))
            runs.remove_abandoned()
            yield
    finally:
        ended.set()
        keeper.join(RENEW)
        _release(runs, path, owner)


def _create_lock(runs: RunDirectory, owner: LockOwner) -> Path:
    """Create the run lock under the next number; return its file."""
    beside = runs.operation.path / temporary_name("lock")
    try:
        with full_disk_described(runs.path):
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(asdict(owner)), encoding="utf-8")
            sync_file(beside)
        while (path := _take(runs, beside)) is None:
            pass  # another process has just taken it
        runs.remove(runs.cancel_file)
    except OSError as error:
        if runs.is_in_s3 or error.errno not in _UNWRITABLE:
            raise
        raise InputError(
            f"{runs}: can't be written to ({error.strerror}: {error.filename}); "
            "give another --out, or make it writable for this user"
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
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
    if not is_alive(runs, path):
        return
    other = LockOwner.read(path)
    who = "a command that has just started" if other is None else other.describe()
    raise InputError(
        f"{runs}: in use by {who}; two commands would do the same work: "
        f"wait for it, stop it with python -m orchestrator.sweep cancel --out {runs}, "
        "or give another --out"
    )


def _keep(runs: RunDirectory, path: Path, owner: LockOwner, ended: threading.Event) -> None:
    """Renew the run lock until the block ends; interrupt the process once when it has to stop.

    A process that is stopping still owns the lock, and renews it.
    """
    stopping = False
    while not ended.wait(RENEW):
        try:
            there = owner_of(runs)
            reason = _reason_to_stop(runs, path, owner, there)
            if reason is not None and not stopping:
                stopping = True
                interrupt(reason)
            if there is not None and there.key == owner.key:
                write_text(path, json.dumps({**asdict(owner), "renewed": time.time()}))
        except (OSError, Denied):
            continue  # a full disk, or an unreachable shared one: try again later


def _reason_to_stop(
    runs: RunDirectory, path: Path, owner: LockOwner, there: LockOwner | None
) -> str | None:
    """Return why the owner has to stop, or None; there: the owner by the newest lock."""
    if there is not None and there.key != owner.key:
        return f"{there.describe()} has taken {runs} over"
    if not path.exists():
        return f"{runs} has been moved or removed"
    cancel = runs.cancel_file
    if cancel.exists() and cancel.read_text(encoding="utf-8").strip() in ("", owner.key):
        return "asked to stop by sweep cancel"
    return None


def _release(runs: RunDirectory, path: Path, owner: LockOwner) -> None:
    """Mark the lock as released, and keep its file so that its number is not used again.

    Raises InputError if the file is gone.
    """
    if not path.exists():
        raise InputError(
            f"{runs}: was moved or removed during this command (its {path.name} is gone), and what "
            "was written since may be in another place; put it back, and run the same command again"
        )
    there = LockOwner.read(path)
    if there is not None and there.key == owner.key:
        with suppress(OSError):  # a full disk: the lock is free once this process has ended
            write_text(path, RELEASED)


def owner_of(runs: RunDirectory) -> LockOwner | None:
    """Read the owner of a sweep's run lock, alive or dead; None if it is free."""
    numbers = _numbers(runs)
    return LockOwner.read(runs.lock_file(numbers[-1])) if numbers else None


def _numbers(runs: RunDirectory) -> list[int]:
    """List the numbers of existing locks, ascending, after fetching the directory."""
    runs.operation.fetch()
    return runs.lock_numbers()
