"""Processes on Linux: wait for them, list their descendants, signal them by id."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path


def wait_for(condition: Callable[[], bool], what: str, timeout: float = 300) -> None:
    """Wait until a condition holds; fail after timeout seconds, naming the condition."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.05)


def descendants(pid: int) -> dict[int, str]:
    """Map each descendant of a process to its command line, from /proc."""
    children = _children()
    found: dict[int, str] = {}
    queue = [pid]
    while queue:
        for child in children.get(queue.pop(), ()):
            found[child] = _title(child)
            queue.append(child)
    return found


def _children() -> dict[int, list[int]]:
    """Map each process to its children."""
    found: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            parent = int(status.rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        found.setdefault(parent, []).append(int(folder.name))
    return found


def _title(pid: int) -> str:
    """Read a process's command line; "" if it has ended."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return raw.replace("\0", " ")


def cpu_seconds(pid: int) -> float:
    """Sum the CPU time of a process and of its descendants that still run, in seconds."""
    return sum(cpu_seconds_by_process(pid).values())


def cpu_seconds_by_process(pid: int) -> dict[int, float]:
    """Map a process and each of its descendants that still run to its CPU time, in seconds."""
    found = {}
    for one in (pid, *descendants(pid)):
        try:
            fields = Path(f"/proc/{one}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        except OSError:
            continue
        found[one] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def alive(pids: set[int]) -> set[int]:
    """Return the processes that still run, without zombies."""
    return {pid for pid in pids if _state(pid) not in ("", "Z", "X")}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def born(pid: int) -> str:
    """Return a process's start time in ticks since boot; "" if it has ended or is a zombie."""
    try:
        state, *fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        )
    except OSError:
        return ""
    return "" if state in "ZX" else fields[18]


def kill(pids: set[int]) -> None:
    """Kill processes; those that have ended are ignored."""
    send(pids, signal.SIGKILL)


def send(pids: set[int], number: signal.Signals) -> None:
    """Send a signal to processes; those that have ended are ignored."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
