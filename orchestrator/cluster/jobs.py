"""Jobs of the trial queue, and their state."""

import math
import time
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from trainables.exceptions import Failure

Event = dict[str, Any]

Reply = Literal["again", "end"]

AGAIN: Final[Reply] = "again"

END: Final[Reply] = "end"


@dataclass(frozen=True)
class Job:
    """A job for a worker group: a trial by id and content."""

    trial_id: str
    trial: str
    """The trial as JSON."""
    shards: tuple[str, ...]
    """Names of the shards of the subjects whose images it reads."""
    training_id: str = ""
    """Name of its checkpoint; jobs with the same checkpoint run one at a time."""
    stall_timeout: float = math.inf
    """Seconds that it may run without progress."""
    awaits_scheduler: bool = False
    """Whether a scheduler may stop it; if so, its worker waits for a decision at each report."""
    name: str = ""
    """Name of the trial in Ray's list of tasks; empty: its id."""


@dataclass(frozen=True)
class Worker:
    """The process of a worker group that takes jobs from the queue."""

    node: str
    """Ray's id of its node."""
    pid: int


@dataclass(frozen=True)
class Stuck:
    """A worker whose trial makes no progress."""

    trial_id: str
    node: str
    pid: int


@dataclass
class Progress:
    """A job's progress, as the terminal and the dashboard show it."""

    trial_id: str
    group: str | None = None
    stage: str = "waiting"
    epoch: int = 0
    loss: float | None = None
    retrieval_top1: float | None = None
    images_per_second: float | None = None


UNKNOWN: Final = Failure("worker-lost", "out of memory, or killed")
"""Failure of a worker process that ended without a message."""


@dataclass(frozen=True)
class End:
    """The end of a job."""

    trial_id: str
    failure: Failure | None
    """Why it failed; None: it has finished, or was stopped."""


@dataclass(eq=False)
class QueueEntry:
    """A job in the queue, with its state."""

    job: Job
    progress: Progress
    events: list[Event] = field(default_factory=list)
    n_failures: int = 0
    last_failure: Failure = UNKNOWN
    """Why its last worker process died, as far as known."""
    heard: int = 0
    """Number of events that the listener has processed."""
    alive: float = field(default_factory=time.monotonic)
    """Monotonic time of its last progress."""
    worker: Worker | None = None
    ended_at: float | None = None
    """Monotonic time at which its stuck worker was ended; None once its group is back."""
    stopped: bool = False
    ended: bool = False
    failure: Failure | None = None
    """Why it has failed, if it has ended."""
