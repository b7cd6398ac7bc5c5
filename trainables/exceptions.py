"""The exceptions of trials, and the kinds of error that an outcome names.

    Exception
    ├── Stopped                 the scheduler has stopped the trial: an outcome, not an error
    ├── Abandoned               another worker of the group has failed; all have left the trial
    ├── OutOfMemory             the device has too little memory, even with smaller microbatches
    ├── OSError
    │   └── DiskFull            a disk is full, or a quota used up
    ├── ValueError
    │   └── Denied              this user may not read a file: a result that exists all the same
    ├── FloatingPointError
    │   └── Diverged            the loss is not a number
    └── RuntimeError
        └── ProcessGroupBroken  the workers are no longer in step: their processes must restart
            └── WorkerLost      another worker's process has ended, or does not answer

Bad data, weights or checkpoints raise ValueError, and files that can't be read OSError. Nothing
here imports torch or Ray. ``trainables.compute.failures`` finds the kind of any error.
"""

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

ErrorKind = Literal[
    "input",
    "diverged",
    "out-of-memory",
    "disk-full",
    "device",
    "worker-lost",
    "stalled",
    "unexpected",
]
"""Why a trial failed; decisions depend on this kind, never on the text of an error.

``input``: unusable data, weights or checkpoint. ``disk-full``: no room for the trial's files, nor
for those of any other trial. ``device``: a GPU, or its driver, failed.
``worker-lost``: a process or a node has ended. ``stalled``: no progress for too long.
"""


@dataclass(frozen=True)
class Failure:
    """Why a trial has failed."""

    kind: ErrorKind
    message: str
    """The error as text, with a traceback where there is one."""


class Stopped(Exception):  # noqa: N818  (an outcome, not an error)
    """The scheduler has stopped this training; its checkpoint stays.

    history: the reports of the epochs that were trained.
    """

    def __init__(self, history: tuple[Any, ...] = ()) -> None:
        super().__init__("stopped by the scheduler")
        self.history = history


class Diverged(FloatingPointError):  # noqa: N818  (a state of the training)
    """The loss of a training is not a number."""


class OutOfMemory(Exception):  # noqa: N818  (as torch and Python name a state of the device)
    """A trial needs more memory than its device has, even with the smallest microbatches."""


class DiskFull(OSError):  # noqa: N818  (a state of the disk)
    """A disk is full, or a quota used up; the message says how much is missing, and where."""

    def __str__(self) -> str:
        return str(self.strerror)


class Denied(ValueError):  # noqa: N818  (a state of a file)
    """A file that this user may not read; the message names its owner and the cure."""

    @classmethod
    def of(cls, path: Path, error: PermissionError) -> Self:
        """Describe a file or directory that may not be read.

        path: what its owner has to share. error: names the file, if that is below path.
        """
        found = Path(str(error.filename)) if error.filename else path
        return cls(
            f"{found}: this user may not read it{_owner_and_mode(found)}; its owner can share it: "
            f"chmod -R g+rX {path}, or o+rX for users outside of its group"
        )


def _owner_and_mode(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return ""
    try:
        owner = path.owner()
    except (KeyError, OSError):  # a container knows no name for this user
        owner = str(status.st_uid)
    return f" (mode {stat.S_IMODE(status.st_mode):04o}, of user {owner})"


class Abandoned(Exception):  # noqa: N818  (another worker's error)
    """Another worker of the process group has failed, and all have left the trial together."""


class ProcessGroupBroken(RuntimeError):  # noqa: N818  (a state)
    """The workers are no longer in step: their processes must restart."""


class WorkerLost(ProcessGroupBroken):
    """Another worker's process has ended, or does not answer."""
