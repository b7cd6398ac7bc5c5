"""One command at a time on a sweep's directory: a lease, renewed while its holder lives.

The lease is a file that names its holder. It is made by a hard link, which exactly one of several
processes on a shared file system can make, and ends with its holder: at once where the holder's
process is seen to be gone, and after EXPIRES seconds without renewal where it was on another host.
"""

import json
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from orchestrator.command import InputError
from trainables.durable import write_text

RENEW: Final = 5.0
"""Seconds between renewals."""
EXPIRES: Final = 60.0
"""Seconds without renewal after which a holder on another host is taken for dead."""
OPERATION: Final = "operation"
"""Directory, in a sweep's, of what is known of the command that runs."""


def lease_file(runs: Path) -> Path:
    """Name the file of a sweep's lease."""
    return runs / OPERATION / "lease.json"


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
    path = lease_file(runs)
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = Holder.this_process(command)
    _acquire(path, holder)
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(path, holder, ended), name="lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join(RENEW)
        _release(path, holder)


def _acquire(path: Path, holder: Holder) -> None:
    """Link the lease into its place, after taking away a dead holder's."""
    beside = path.with_name(f".lease.{holder.key}")
    beside.write_text(json.dumps(asdict(holder)))
    try:
        while True:
            try:
                os.link(beside, path)
            except FileExistsError:
                _take_away_dead(path, holder)
            else:
                cancel_file(path.parent.parent).unlink(missing_ok=True)
                return
    finally:
        beside.unlink(missing_ok=True)


def _take_away_dead(path: Path, holder: Holder) -> None:
    """Remove the lease of a dead holder; raise InputError where it lives."""
    other = Holder.read(path)
    if other is not None and is_alive(path, other):
        raise InputError(
            f"{path.parent.parent}: in use by {other.told()}; two at once would do the same work: "
            "wait for it, stop it by python -m orchestrator.sweep cancel --out "
            f"{path.parent.parent}, or give another --out"
        )
    aside = path.with_name(f".dead.{holder.key}")
    try:
        path.rename(aside)  # of several that see it dead, one succeeds
    except FileNotFoundError:
        return
    moved = Holder.read(aside)
    if moved is not None and (other is None or moved.key != other.key):
        _put_back(aside, path)  # a new holder's, taken in the instant since it was read
    aside.unlink(missing_ok=True)


def _put_back(aside: Path, path: Path) -> None:
    try:
        os.link(aside, path)
    except FileExistsError:
        return


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
    later = Holder.read(path)
    return later is not None and later != holder


def _keep(path: Path, holder: Holder, ended: threading.Event) -> None:
    """Renew the lease until the block has ended; interrupt the process when it has to stop."""
    cancel = cancel_file(path.parent.parent)
    while not ended.wait(RENEW):
        try:
            there = Holder.read(path)
            if there is not None and there.key != holder.key:
                return _interrupt(f"{there.told()} has taken {path.parent.parent} over")
            if cancel.exists() and cancel.read_text().strip() in ("", holder.key):
                return _interrupt("asked to stop by sweep cancel")
            write_text(path, json.dumps({**asdict(holder), "renewed": time.time()}))
        except OSError:
            continue  # a full disk or a shared one that is away: the next time may do
    return None


def _interrupt(why: str) -> None:
    os.write(2, f"stopping: {why}\n".encode())
    os.kill(os.getpid(), signal.SIGINT)


def _release(path: Path, holder: Holder) -> None:
    there = Holder.read(path)
    if there is not None and there.key == holder.key:
        path.unlink(missing_ok=True)


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
