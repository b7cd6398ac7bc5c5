"""The exceptions of trials, and the kinds of error that an outcome names.

    Exception
    ├── Stopped                 the scheduler has stopped the trial: an outcome, not an error
    ├── Abandoned               another worker of the group has failed; all have left the trial
    ├── OutOfMemory             the device has too little memory, even with smaller microbatches
    ├── FloatingPointError
    │   └── Diverged            the loss is not a number
    └── RuntimeError
        └── ProcessGroupBroken  the workers are no longer in step: their processes must restart
            └── WorkerLost      another worker's process has ended, or does not answer

Bad data, weights or checkpoints raise ValueError, and files that can't be read OSError. Nothing
here imports torch or Ray. ``trainables.compute.failures`` finds the kind of any error.
"""

from dataclasses import dataclass
from typing import Any, Literal

ErrorKind = Literal[
    "input",
    "diverged",
    "out-of-memory",
    "device",
    "worker-lost",
    "stalled",
    "unexpected",
]
"""Why a trial failed; decisions depend on this kind, never on the text of an error.

``input``: unusable data, weights or checkpoint. ``device``: a GPU, or its driver, failed.
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


class Abandoned(Exception):  # noqa: N818  (another worker's error)
    """Another worker of the process group has failed, and all have left the trial together."""


class ProcessGroupBroken(RuntimeError):  # noqa: N818  (a state)
    """The workers are no longer in step: their processes must restart."""


class WorkerLost(ProcessGroupBroken):
    """Another worker's process has ended, or does not answer."""
