"""Run a search space's code in a child process first, which can be ended whatever it does.

A loop inside one call of C code (``sum(itertools.count())``) or a call that takes all memory
(``list(itertools.repeat(0))``) can't be interrupted from Python, but a process can be ended.
"""

import faulthandler
import json
import os
import re
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NoReturn

from orchestrator.cli.errors import InputError
from orchestrator.cli.signals import is_stopping

MAX_MEMORY: Final = 2 << 30
"""Bytes that the child process may allocate."""


@dataclass(frozen=True)
class Limits:
    """When the child process is ended."""

    cpu: float
    """Seconds of CPU time that the code may take."""
    wall: float
    """Seconds that it may take."""
    grace: float
    """Further seconds in which the code may still be interrupted from Python."""


def rehearse(work: Callable[[], object], file: str | None, action: str, limits: Limits) -> None:
    """Run a function in a child process; raise InputError as it does, or if it had to be ended.

    file: a search space's file, whose line is named. action: what failed. What the function prints
    goes where it goes in this process.
    """
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as trace:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # else the child would write it again
        pid = os.fork()
        if pid == 0:
            _run_in_child(work, answer, trace, limits)
        try:
            _, status = os.waitpid(pid, 0)
        except BaseException:  # Ctrl-C
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        answer.seek(0)
        lines = json.loads(answer.read() or "null")
        if lines:
            raise InputError(*lines)
        if lines is None:
            trace.seek(0)
            line = _line_of(trace.read().decode("ascii", "replace"), file)
            raise InputError(f"{file}: {action}: {_end_of(status, limits)}{line}")


def _run_in_child(
    work: Callable[[], object], answer: IO[bytes], trace: IO[bytes], limits: Limits
) -> NoReturn:
    """Run the function, write the lines of its InputError, and end this process.

    A space that sends this process a signal is no error here: it stops the program later.
    """
    lines: tuple[str, ...] = ()
    try:
        _bound(trace, limits)
        work()
    except InputError as error:
        lines = error.lines
    except BaseException as error:
        lines = () if is_stopping() else (f"{type(error).__name__}: {error}",)
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        answer.write(json.dumps(lines).encode())
        answer.flush()
        os._exit(0)


def _bound(trace: IO[bytes], limits: Limits) -> None:
    """Bound this process's time and memory; write where it is to a file when it is ended."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    wanted = _allocated() + MAX_MEMORY
    if most == resource.RLIM_INFINITY or wanted < most:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))
    faulthandler.enable(trace)
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    faulthandler.register(signal.SIGVTALRM, trace, all_threads=False, chain=True)
    signal.setitimer(signal.ITIMER_VIRTUAL, limits.cpu + limits.grace)
    faulthandler.dump_traceback_later(limits.wall + limits.grace, exit=True, file=trace)


def _allocated() -> int:
    """Return the bytes of writable memory that this process has mapped; 0 if that is unknown."""
    try:
        found = re.search(
            r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8")
        )
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0


def _end_of(status: int, limits: Limits) -> str:
    """Say how the child process ended."""
    if not os.WIFSIGNALED(status):
        return f"no end after {limits.wall:g} s"
    number = signal.Signals(os.WTERMSIG(status))
    if number == signal.SIGVTALRM:
        return f"no end after {limits.cpu:g} s of CPU time"
    return f"its process was ended by {number.name}"


def _line_of(trace: str, file: str | None) -> str:
    """Name the innermost line of the file in a trace, which spells names in ASCII."""
    name = (file or "").encode("ascii", "backslashreplace").decode()
    for found, line in re.findall(r'^  File "(.*)", line (\d+) in ', trace, re.MULTILINE):
        if found == name:
            return f" (line {line})"
    return ""
