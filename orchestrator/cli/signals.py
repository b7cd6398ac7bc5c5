"""Stop a command on SIGINT, SIGTERM and SIGHUP, all in the same way.

Ctrl-C sends SIGINT; Slurm, Kubernetes and spot machines send SIGTERM; a terminal that is closed
sends SIGHUP. The first signal raises KeyboardInterrupt in the main thread, so that every ``with``
and ``finally`` is run. A later one ends the process at once.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Final

STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_SECONDS: Final = 1.0
"""Signals within this time count as one: ``timeout`` and a closed terminal send theirs twice."""


@dataclass(frozen=True)
class _Stop:
    """The signal that has asked this process to stop."""

    signum: int
    at: float
    """Monotonic time."""


_stop: _Stop | None = None


def _on_signal(signum: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; if this process is already stopping, end it."""
    global _stop
    now = time.monotonic()
    if _stop is None:
        _stop = _Stop(signum, now)
        raise KeyboardInterrupt
    if now - _stop.at > SAME_SECONDS:
        os._exit(128 + signum)


def _stop_on_signals() -> None:
    """Make this process stop on each signal of STOPPING that it does not ignore."""
    for one in STOPPING:
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, _on_signal)


def renew_handlers() -> None:
    """Install Python's handlers again, after a library has put its own before them."""
    if threading.current_thread() is not threading.main_thread():
        return
    for one in STOPPING:
        handler = signal.getsignal(one)
        if handler is not None:
            signal.signal(one, handler)


@contextmanager
def stoppable() -> Iterator[None]:
    """Stop on signals within the block; restore the earlier handlers after it."""
    global _stop
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = {one: signal.getsignal(one) for one in STOPPING}
    _stop = None
    _stop_on_signals()
    try:
        yield
    finally:
        _stop = None
        for one, handler in earlier.items():
            signal.signal(one, handler or signal.SIG_DFL)


def is_stopping() -> bool:
    """Return whether a signal has asked this process to stop."""
    return _stop is not None


def stopped_by() -> signal.Signals:
    """Return the signal that has stopped this process; SIGINT if none was received."""
    return signal.SIGINT if _stop is None else signal.Signals(_stop.signum)


@contextmanager
def interruptible() -> Iterator[None]:
    """Make :func:`interrupt` work within the block, also for a command in the background.

    Processes that a script starts with ``&`` ignore Ctrl-C; a command that can be cancelled must
    not.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if not ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, _on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def interrupt(why: str) -> None:
    """Stop this process as Ctrl-C does, from any of its threads, and print why.

    A process that is already stopping continues to: its clean-up is not cut short.
    """
    with suppress(OSError):  # a terminal that was closed
        os.write(2, f"stopping: {why}\n".encode())
    if not is_stopping():
        os.kill(os.getpid(), signal.SIGINT)
