"""Run the code of a user's search space, within bounds.

A search space is a program. Whatever it does (loop for ever, exit, print, raise), the command goes
on, or ends with one line that names the space's file and line.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import IO, Final, NoReturn, TypeVar

import search_spaces
from orchestrator.cli.errors import InputError
from orchestrator.cli.signals import is_stopping
from orchestrator.sweep.rehearsal import Limits, rehearse

T = TypeVar("T")

MAX_ITEMS: Final = 200_000
"""The most trials, or notes, that a search space may yield, repeated ones included."""
CPU_SECONDS: Final = 10.0
"""CPU time that a search space may take to list its trials."""
WALL_SECONDS: Final = 60.0
"""Time that a search space may take to list its trials, also if it only waits."""
LOADING: Final = 3.0
"""Factor of both for importing a search space's file, which may import large libraries."""
AGAIN_SECONDS: Final = 1.0
"""A search space that survives its time limit is stopped again after this time."""
GRACE_SECONDS: Final = 2.0
"""The process of a search space that can't be stopped is ended after this further time."""
MAX_MESSAGE: Final = 300


class _TooLong(BaseException):
    """The time limit has passed; no ``except Exception`` of a search space catches it."""


def confined(work: Callable[[], T], file: str | None, action: str, factor: float = 1.0) -> T:
    """Return what a function of a search space returns; bound its time and memory.

    All that it raises becomes an InputError. file: the space's file, whose line is named. action:
    what failed. factor: of the time limits, which hold in the main thread only. Standard output
    goes to standard error; the process does not exit. Signals to this process stop it as always.

    The code of a user's file is run in a child process first, and then here without its output.
    """
    if not _is_rehearsed(file):
        return _confine(work, sys.stderr, file, action, factor)
    limits = Limits(factor * CPU_SECONDS, factor * WALL_SECONDS, GRACE_SECONDS)
    rehearse(lambda: _confine(work, sys.stderr, file, action, factor), file, action, limits)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        return _confine(work, nowhere, file, action, factor)


def _is_rehearsed(file: str | None) -> bool:
    """Return whether code is a user's, and this thread one that can be interrupted."""
    is_own = file is not None and Path(file).parent == Path(search_spaces.__file__).parent
    return not is_own and threading.current_thread() is threading.main_thread()


def _confine(
    work: Callable[[], T], output: IO[str], file: str | None, action: str, factor: float
) -> T:
    """Run a function within bounds, as :func:`confined`, in this process."""
    try:
        with redirect_stdout(output), _no_exit(), _time_limit(factor):
            return work()
    except BaseException as error:
        if isinstance(error, InputError) or is_stopping():
            raise
        raise InputError(f"{file}: {action}: {describe_error(error, file)}") from error


def describe_error(error: BaseException, file: str | None) -> str:
    """Describe an error in one line, with its line in a user's file."""
    if isinstance(error, _TooLong):
        text = str(error)
    elif isinstance(error, SystemExit | KeyboardInterrupt | GeneratorExit):
        text = f"it raises {type(error).__name__}; a search space yields trials, and never exits"
    else:
        text = f"{type(error).__name__}: {_text_of(error)}".removesuffix(": ")
    lines = [
        one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == file
    ]
    return text + (f" (line {lines[-1]})" if lines else "")


def _text_of(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:  # the space's own class of errors
        return "an error without a text"
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…"


def first_items(items: Iterable[T], file: str | None, what: str) -> list[T]:
    """List items; raise InputError, with the line of a generator, if there are too many."""
    listed: list[T] = []
    for item in items:
        if len(listed) == MAX_ITEMS:
            line = getattr(getattr(items, "gi_frame", None), "f_lineno", None)
            raise InputError(
                f"{file}: {what} of the search space yields more than {MAX_ITEMS:,} values"
                + (f" (line {line})" if line else "")
                + "; expected an end, and each trial once"
            )
        listed.append(item)
    return listed


@contextmanager
def _no_exit() -> Iterator[None]:
    """Make ``os._exit`` raise SystemExit, which would end the command as if all were done."""

    def refuse(status: int) -> NoReturn:
        raise SystemExit(status)

    earlier = os._exit
    os._exit = refuse
    try:
        yield
    finally:
        os._exit = earlier


@contextmanager
def _time_limit(factor: float) -> Iterator[None]:
    """Raise _TooLong within the block after a time; only the main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    timers = {
        signal.ITIMER_PROF: (signal.SIGPROF, factor * CPU_SECONDS, "of CPU time"),
        signal.ITIMER_REAL: (signal.SIGALRM, factor * WALL_SECONDS, ""),
    }
    earlier = {one: (signal.getsignal(one), signal.getitimer(t)) for t, (one, *_) in timers.items()}
    for timer, (one, seconds, unit) in timers.items():
        signal.signal(one, _stopper(f"no end after {seconds:g} s {unit}".strip()))
        signal.setitimer(timer, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        for timer, (one, *_) in timers.items():
            handler, (delay, interval) = earlier[one]
            signal.setitimer(timer, 0)
            signal.signal(one, handler or signal.SIG_DFL)
            signal.setitimer(timer, delay, interval)


def _stopper(message: str) -> Callable[[int, FrameType | None], NoReturn]:
    def stop(signum: int, frame: FrameType | None) -> NoReturn:
        raise _TooLong(message)

    return stop
