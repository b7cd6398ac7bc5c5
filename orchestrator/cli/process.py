"""Run a command in this process: exit codes, input errors and interrupts.

Nothing here imports Ray or torch, so ``--help`` and input errors are immediate.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from orchestrator.cli.environment import DRIVER, WORKER, complete_environment, set_environment
from orchestrator.cli.errors import InputError
from orchestrator.cli.terminal import degrading_output
from trainables.storage.redaction import redact

FAILED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130
WORKER_GROUP: Final = "group-"
"""Prefix of the names of threads that wait for a worker group to end."""


def run(body: Callable[[], None]) -> int:
    """Run a command's body and return its exit code; print input errors as plain lines.

    A ValueError (each line of an InputError) or an OSError becomes ``error: …`` on stderr and
    code 2, an interrupt code 130. Any other exception is a bug and keeps its traceback. Output
    degrades where the terminal lacks characters, or where nobody reads it any more.
    """
    set_environment(DRIVER, WORKER)
    complete_environment()
    with degrading_output() as lost:
        code = _exit_code(body)
    with suppress(OSError):
        for line in lost:
            sys.stderr.write(f"error: {line}\n")
    return code or (FAILED if lost else 0)


def _exit_code(body: Callable[[], None]) -> int:
    try:
        body()
    except InputError as error:
        return _refuse(*error.lines)
    except ValueError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    return 0


def _refuse(*lines: str) -> int:
    for line in lines:
        sys.stderr.write(f"error: {redact(' '.join(line.split()))}\n")
    return BAD_INPUT


def leave(code: int) -> None:
    """End the process, immediately if threads still wait for trials or for a missing node.

    They would call Ray after its shutdown, which ends the process with another exit code. Ray ends
    everything that a driver started when the driver exits, as after a kill.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if code == INTERRUPTED or any(
        one.name.startswith(WORKER_GROUP) for one in threading.enumerate()
    ):
        os._exit(code)
    sys.exit(code)


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
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def interrupt(why: str) -> None:
    """Stop this process as Ctrl-C does, from any of its threads, and print why."""
    with suppress(OSError):  # a terminal that was closed
        os.write(2, f"stopping: {why}\n".encode())
    os.kill(os.getpid(), signal.SIGINT)


@dataclass(frozen=True)
class Started:
    """How a command was started, so that it can be repeated."""

    module: str = ""
    arguments: tuple[str, ...] = ()
    only: Collection[str] | None = None
    """Ids of the waiting trials to run; None: all."""
