"""Run a command in this process: exit codes, input errors and interrupts.

Nothing here imports Ray or torch, so ``--help`` and input errors are immediate.
"""

import os
import shlex
import sys
import threading
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from orchestrator.cli.environment import DRIVER, WORKER, complete_environment, set_environment
from orchestrator.cli.errors import InputError
from orchestrator.cli.problems import summed_up
from orchestrator.cli.signals import stoppable, stopped_by
from orchestrator.cli.terminal import degrading_output
from trainables.storage.redaction import redact

FAILED: Final = 1
BAD_INPUT: Final = 2
SIGNALLED: Final = 128
"""Exit code of a command that a signal has stopped, less the signal's number."""
WORKER_GROUP: Final = "group-"
"""Prefix of the names of threads that wait for a worker group to end."""


def run(body: Callable[[], None]) -> int:
    """Run a command's body and return its exit code; print input errors as plain lines.

    A ValueError (each line of an InputError) or an OSError becomes ``error: …`` on stderr and
    code 2. Ctrl-C, SIGTERM and SIGHUP become one line and code 130, 143 or 129. Any other exception
    is a bug and keeps its traceback. Output degrades where the terminal lacks characters, or where
    nobody reads it any more.
    """
    set_environment(DRIVER, WORKER)
    complete_environment()
    sys.excepthook, threading.excepthook = _show_error, _show_thread_error
    with stoppable(), degrading_output() as lost:
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
        signal = stopped_by()
        sys.stderr.write(f"interrupted by {signal.name}\n")
        return SIGNALLED + signal
    return 0


def _show_error(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """Print the traceback of a bug, with secrets redacted."""
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _show_thread_error(hook: threading.ExceptHookArgs) -> None:
    """Print the traceback of a bug in a thread, with secrets redacted."""
    if not issubclass(hook.exc_type, SystemExit):
        _show_error(hook.exc_type, hook.exc_value, hook.exc_traceback)


def _refuse(*lines: str) -> int:
    for line in summed_up(lines):
        sys.stderr.write(f"error: {redact(' '.join(line.split()))}\n")
    return BAD_INPUT


def leave(code: int) -> None:
    """End the process, immediately if threads still wait for trials or for a missing node.

    They would call Ray after its shutdown, which ends the process with another exit code. Ray ends
    everything that a driver started when the driver exits, as after a kill.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # the terminal is gone, and flushing again at exit would change the code
        os._exit(code)
    if code > SIGNALLED or any(one.name.startswith(WORKER_GROUP) for one in threading.enumerate()):
        os._exit(code)
    sys.exit(code)


@dataclass(frozen=True)
class Started:
    """How a command was started, so that it can be repeated."""

    module: str = ""
    arguments: tuple[str, ...] = ()
    only: Collection[str] | None = None
    """Ids of the waiting trials to run; None: all."""


def command_line(started: Started) -> str:
    """Return the command as a line for a shell; empty if none was typed."""
    if not started.module:
        return ""
    return f"python -m {started.module} {shlex.join(started.arguments)}"
