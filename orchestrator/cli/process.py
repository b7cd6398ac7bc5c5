"""What every command shares: how bad input is told, and how subjects are named on a command line.

Nothing here imports Ray or torch, so ``--help`` and every refusal are immediate.
"""

import argparse
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainables.storage.redaction import masked
from trainables.storage.s3_mirror import is_large, place, pull

FAILED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130
GROUP: Final = "group-"
"""How the names of threads begin that wait for a group of workers to end."""


class InputError(ValueError):
    """Input that a user can mend: one line a complaint, each with its path and its cure."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True)
class Started:
    """How a command was started, so that it can be started again."""

    module: str = ""
    arguments: tuple[str, ...] = ()
    only: Collection[str] | None = None
    """Ids of the trials to run of those that are left; None: all."""


def run(body: Callable[[], None]) -> int:
    """Run a command's body and return its exit code, telling bad input in plain lines.

    A ValueError (every complaint of an InputError) or an OSError becomes ``error: …`` on stderr
    and code 2, an interrupt code 130. Anything else is a defect and keeps its traceback.
    """
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
        sys.stderr.write(f"error: {masked(' '.join(line.split()))}\n")
    return BAD_INPUT


def leave(code: int) -> None:
    """End the process; at once when threads still wait for trials, or for a node that never comes.

    They would ask Ray after its shutdown, which ends the process with another code. Ray ends what
    a driver started when the driver is gone, as after a kill.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if code == INTERRUPTED or any(one.name.startswith(GROUP) for one in threading.enumerate()):
        os._exit(code)
    sys.exit(code)


@contextmanager
def interruptible() -> Iterator[None]:
    """Have :func:`interrupt` heard within the block, by a command in the background too.

    Shells have Ctrl-C ignored by what a script starts with ``&``; what is to be cancelled must not
    ignore it.
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
    """Stop this process as Ctrl-C does, from any of its threads, and say why."""
    os.write(2, f"stopping: {why}\n".encode())
    os.kill(os.getpid(), signal.SIGINT)


def directory(text: str) -> Path:
    """Read a directory of a command line: a local one, or ``s3://BUCKET/PREFIX``.

    What is small there, and not here, is copied to its mirror.
    """
    try:
        path = place(text)
        pull(path, skip=is_large)
    except (ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(masked(str(error))) from error
    return path


def parse_subjects(text: str) -> tuple[int, ...]:
    """Read a list of subjects such as ``1,5-8``: ascending, each once.

    Raises InputError when a part is neither a positive number nor a range.
    """
    subjects: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(f"subjects {text!r}: expected numbers and ranges such as 1,5-8")
        start, stop = int(first), int(last) if dash else int(first)
        if not 1 <= start <= stop <= 999:
            raise InputError(f"subjects {text!r}: {part.strip()!r} is no range of 1 to 999")
        subjects.update(range(start, stop + 1))
    return tuple(sorted(subjects))


def subject_number(subject: str) -> int | None:
    """Read a subject's number from its name in any data set.

    >>> subject_number("subj01"), subject_number("sub-09"), subject_number("pilot")
    (1, 9, None)
    """
    digits = re.sub(r"\D", "", subject)
    return int(digits) if digits else None


def subjects_argument(text: str) -> tuple[int, ...]:
    """Read a list of subjects for argparse: :func:`parse_subjects` with argparse's own error."""
    try:
        return parse_subjects(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def positive_integer(text: str) -> int:
    """Read a whole number above zero for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number above 0")
    return int(text)
