"""Processes of a home: ended with this one, however it ends, and taken over from an earlier one.

A guardian, a process of its own, waits for the end of this one and ends what it has left, such as
after kill -9. All are in sessions of their own: Ctrl-C and a closed terminal reach this process
alone, which ends its children in order.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from orchestrator.cli.errors import InputError

HOME_VARIABLE: Final = "_CORTEX_SWEEP_CHILD_OF"
"""Variable by which the processes of a home are found again; not a setting that a shell has."""
END_SECONDS: Final = 10.0
"""Time for a process to end by itself before it is killed."""
GUARDIAN: Final = "guardian"
"""What the owner's file says while a guardian ends the processes of a home."""
GUARDIAN_SECONDS: Final = 60.0
PROC: Final = Path("/proc")


@contextmanager
def child(
    command: Sequence[str], end: signal.Signals, log: Path, **options: Any
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a child process within the block, and end it afterwards.

    end: the signal that ends it. log: the file of its output. options: further arguments of
    :class:`subprocess.Popen`.
    """
    with log.open("a", encoding="utf-8") as output:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **options,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(end)
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def supervised(home: Path, databases: Path) -> Iterator[int]:
    """Own a home, and end all its processes after the block, or when this process is killed.

    databases: the directory of its PostgreSQL. Yields the number of processes that an earlier owner
    had left, which are ended first. Raises InputError if another process owns the home.
    """
    with sole_owner(home, str(os.getpid())):
        n_left = end_leftovers(home, databases)
        command = [sys.executable, "-m", "orchestrator.mlflow_server.guardian"]
        guardian = subprocess.Popen(
            [*command, str(home), str(databases), str(os.getpid())],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            yield n_left
        finally:
            end_leftovers(home, databases)  # children of a child that was killed
            guardian.kill()
            guardian.wait()


@contextmanager
def sole_owner(home: Path, name: str, ending: str = GUARDIAN) -> Iterator[None]:
    """Own a home within the block; raise InputError if another process does.

    name: what its file says of the owner: its process number, or GUARDIAN. ending: an owner that is
    about to end, so its lock is waited for, at most GUARDIAN_SECONDS. The lock ends with this
    process, however that ends; a killed process keeps it for a moment after its pipes are closed.
    """
    deadline = time.monotonic() + GUARDIAN_SECONDS
    with (home / "owner").open("a+", encoding="utf-8") as file:
        while not _is_locked(file.fileno()):
            file.seek(0)
            owner = file.read().strip()
            if owner != ending or time.monotonic() > deadline:
                raise InputError(
                    f"{home}: a server already runs here (process {owner}); end it, or give "
                    "another --home"
                )
            time.sleep(0.2)
        file.truncate(0)
        file.write(f"{name}\n")
        file.flush()
        yield


def _is_locked(descriptor: int) -> bool:
    """Lock a file; return False if another process has locked it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True


def end_leftovers(home: Path, databases: Path) -> int:
    """End the processes that an earlier server of a home has left; return their number.

    databases: the directory of its PostgreSQL. The caller owns the home. Raises InputError if one
    does not end.
    """
    servers = [pid for pid in _processes() if _has_variable(pid, f"{HOME_VARIABLE}={home}")]
    _end(servers, (signal.SIGTERM, signal.SIGKILL))
    postmaster = _postmaster(databases)
    of_postgres = [pid for pid in _processes() if _works_in(pid, databases)]
    if postmaster in of_postgres:
        _end([postmaster], (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL))
    _end([pid for pid in of_postgres if pid != postmaster], (signal.SIGQUIT, signal.SIGKILL))
    # PostgreSQL refuses to start while any process has the number in this file.
    (databases / "postmaster.pid").unlink(missing_ok=True)
    return len(servers) + len(of_postgres)


def _processes() -> list[int]:
    """List all processes except this one and its ancestors, such as the shell that started it."""
    own = set(_with_ancestors(os.getpid()))
    return [pid for one in PROC.glob("[0-9]*") if (pid := int(one.name)) not in own]


def _with_ancestors(pid: int) -> Iterator[int]:
    """Yield a process, its parent, and so on."""
    while pid > 0:
        yield pid
        try:
            pid = int(_stat(pid)[1])
        except OSError:  # ended, or hidden
            return


def _stat(pid: int) -> list[str]:
    """Read a process's state, parent and so on; raise OSError if it has ended."""
    stat = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    return stat.rpartition(")")[2].split()


def _has_variable(pid: int, variable: str) -> bool:
    try:
        return os.fsencode(variable) in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # ended, or another user's
        return False


def _works_in(pid: int, directory: Path) -> bool:
    """Return whether a process is one of PostgreSQL's, which all work in their data directory."""
    try:
        name = (PROC / str(pid) / "comm").read_text(encoding="utf-8").strip()
        return name == "postgres" and (PROC / str(pid) / "cwd").readlink() == directory
    except OSError:
        return False


def _postmaster(databases: Path) -> int | None:
    """Return the number of PostgreSQL's first process, as it has written it down."""
    try:
        return int((databases / "postmaster.pid").read_text(encoding="utf-8").split("\n")[0])
    except (OSError, ValueError):
        return None


def _end(pids: Sequence[int], signals: Sequence[signal.Signals]) -> None:
    """Send each signal in turn to the processes that have not ended after the one before."""
    left = list(pids)
    for one in signals:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, one)
        deadline = time.monotonic() + END_SECONDS
        while (left := [pid for pid in left if _lives(pid)]) and time.monotonic() < deadline:
            time.sleep(0.1)
    if left:
        raise InputError(f"processes of an earlier server do not end: {left}; end them")


def _lives(pid: int) -> bool:
    """Return whether a process has not ended; one that only its parent must collect has."""
    try:
        return _stat(pid)[0] not in "ZX"
    except OSError:
        return False
