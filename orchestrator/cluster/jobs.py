"""Jobs of the trial queue, and what is known of them."""

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
    """What a group is given: a trial by id and content."""

    trial_id: str
    trial: str
    """The trial as JSON."""
    shards: tuple[str, ...]
    """The subjects whose images it reads."""
    training_id: str = ""
    """Its checkpoint's name: of jobs that share one, a single one runs at a time."""
    stall_timeout: float = math.inf
    """Seconds that it may go without a sign of progress."""
    awaits_scheduler: bool = False
    """Whether a scheduler may stop it: its worker waits at each report until it is heard."""


@dataclass(frozen=True)
class Worker:
    """The process of a group that asks the queue."""

    node: str
    """Ray's id of its node."""
    pid: int


@dataclass(frozen=True)
class Stuck:
    """A worker whose trial shows no progress."""

    trial_id: str
    node: str
    pid: int


@dataclass
class Progress:
    """A job as the terminal and the dashboard show it."""

    trial_id: str
    group: str | None = None
    stage: str = "waiting"
    epoch: int = 0
    loss: float | None = None
    retrieval_top1: float | None = None
    images_per_second: float | None = None


UNKNOWN: Final = Failure("worker-lost", "out of memory, or killed")
"""Of a worker's process that has gone without a word."""


@dataclass
class QueueEntry:
    """What the queue knows of a job."""

    job: Job
    progress: Progress
    events: list[Event] = field(default_factory=list)
    n_failures: int = 0
    last_failure: Failure = UNKNOWN
    """Why its last worker died, as far as it is known."""
    heard: int = 0
    """Events that the listener is done with: it has asked for the next."""
    alive: float = field(default_factory=time.monotonic)
    """When it last showed progress."""
    worker: Worker | None = None
    ended_at: float | None = None
    """When its worker was ended for being stuck; None once its group has come back."""
    stopped: bool = False
    ended: bool = False
