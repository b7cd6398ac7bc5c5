"""One command at a time on a sweep's directory: a lease, renewed while its holder lives.

Each holder has a numbered file, and the highest number holds. It is made by a hard link, which
exactly one of several processes on a shared file system can make, and nobody takes another's
away: whoever sees the highest free, or its holder dead, takes the next number. A holder is seen
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from orchestrator.cli.errors import InputError
from orchestrator.cli.process import interrupt, interruptible
from trainables.storage.atomic import write_text
from trainables.storage.s3_mirror import create, is_large, pull, remove

RENEW: Final = 5.0
"""Seconds between renewals."""
EXPIRES: Final = 60.0
"""Seconds without renewal after which a holder on another host is taken for dead."""
KEPT: Final = 8
"""Leases of former holders that are left, the free and the dead."""
OPERATION: Final = "operation"
"""Directory, in a sweep's, of what is known of the command that runs."""


def holder_of(runs: Path) -> "Holder | None":
    """Read who holds a sweep's directory, alive or dead; None where nobody does."""
    turns = _turns(runs)
    return Holder.read(_lease_file(runs, turns[-1])) if turns else None


def cancel_file(runs: Path) -> Path:
    """Name the file that asks the holder to stop."""
    return runs / OPERATION / "cancel"


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, as its file tells."""

    key: str
    """Drawn at random for each command."""
    host: str
    machine: str
    """The kernel's boot and process namespace: where ``pid`` has a meaning."""
    pid: int
    born: str
    """The process' start in clock ticks since boot: another process may get the same pid."""
    command: str
    since: float
    renewed: float
    """Seconds since 1970, by the holder's clock."""

    @classmethod
    def this_process(cls, command: str) -> Self:
        """Describe this process as the holder of a new lease."""
        now, pid = time.time(), os.getpid()
        key = uuid.uuid4().hex
        return cls(key, socket.gethostname(), _machine(), pid, _born(pid), command, now, now)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a lease; None where nobody holds it, or the file says nothing."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def told(self) -> str:
        """Say who it is, for people."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"{self.command}, process {self.pid} on {self.host}, since {since}"

    def is_gone(self) -> bool | None:
        """Tell whether its process has ended; None where that can't be seen from here."""
        if self.machine != _machine():
            return None
        return _born(self.pid) != self.born


@contextmanager
def hold(runs: Path, command: str) -> Iterator[None]:
    """Hold a sweep's lease within the block; create the directory where it is absent.

    Raises InputError, with who holds it, where somebody does; within the block KeyboardInterrupt,
    as on Ctrl-C, when ``sweep cancel`` asks for it or another process has taken the lease.
    """
    holder = Holder.this_process(command)
    path = _acquire(runs, holder)
    ended = threading.Event()
    keeper = threading.Thread(
        target=_keep, args=(runs, path, holder, ended), name="lease", daemon=True
    )
    keeper.start()
    try:
        with interruptible():
            pull(runs, skip=is_large, prune=True)
            yield
    finally:
        ended.set()
        keeper.join(RENEW)
        _release(path, holder)


def _acquire(runs: Path, holder: Holder) -> Path:
    """Link the lease into the next place; return its file."""
    beside = runs / OPERATION / f".lease.{holder.key}"
    beside.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text(json.dumps(asdict(holder)))
    try:
        while (path := _take(runs, beside)) is None:
            pass  # another has taken it in this instant
    finally:
        beside.unlink(missing_ok=True)
    remove(cancel_file(runs))
    return path


def _take(runs: Path, lease: Path) -> Path | None:
    """Take the next number unless the last holder lives; None where another was faster."""
    turns = _turns(runs)
    last = turns[-1] if turns else 0
    _check_free(runs, last)
    path = _lease_file(runs, last + 1)
    try:
        create(lease, path)
    except FileExistsError:
        return None
    if _turns(runs)[-1] != last + 1:  # this number had been given, and cleared away since
        remove(path)
        return None
    for turn in turns:
        if turn <= last + 1 - KEPT:
            remove(_lease_file(runs, turn))
    return path


def _check_free(runs: Path, turn: int) -> None:
    path = _lease_file(runs, turn)
    other = Holder.read(path)
    if other is not None and is_alive(path, other):
        raise InputError(
            f"{runs}: in use by {other.told()}; two at once would do the same work: "
            f"wait for it, stop it by python -m orchestrator.sweep cancel --out {runs}, "
            "or give another --out"
        )


def is_alive(path: Path, holder: Holder, wait: Callable[[float], None] = time.sleep) -> bool:
    """Tell whether a lease's holder lives; where only its renewals can tell, watch for one.

    Clocks of two hosts may differ, so an old renewal alone proves nothing.
    """
    gone = holder.is_gone()
    if gone is not None:
        return not gone
    if time.time() - holder.renewed < EXPIRES:
        return True
    wait(2 * RENEW + 1)
    pull(path)
    later = Holder.read(path)
    return later is not None and later != holder


def _keep(runs: Path, path: Path, holder: Holder, ended: threading.Event) -> None:
    """Renew the lease until the block has ended; interrupt the process when it has to stop."""
    cancel = cancel_file(runs)
    while not ended.wait(RENEW):
        try:
            there = holder_of(runs)
            if there is not None and there.key != holder.key:
                return interrupt(f"{there.told()} has taken {runs} over")
            if cancel.exists() and cancel.read_text().strip() in ("", holder.key):
                return interrupt("asked to stop by sweep cancel")
            write_text(path, json.dumps({**asdict(holder), "renewed": time.time()}))
        except OSError:
            continue  # a full disk or a shared one that is away: the next time may do
    return None


def _release(path: Path, holder: Holder) -> None:
    """Leave the number as taken and free, so that it is never given twice."""
    there = Holder.read(path)
    if there is not None and there.key == holder.key:
        with suppress(OSError):  # a full disk: it is free when this process has ended
            write_text(path, "")


def _turns(runs: Path) -> list[int]:
    """List the numbers that were given, ascending; what else is there is up to date then."""
    pull(runs / OPERATION)
    files = (runs / OPERATION).glob("lease-*.json")
    return sorted(int(file.stem.removeprefix("lease-")) for file in files)


def _lease_file(runs: Path, turn: int) -> Path:
    return runs / OPERATION / f"lease-{turn:06}.json"


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
