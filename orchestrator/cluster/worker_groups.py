"""Warm worker groups: long-lived workers that take jobs from the queue until the run ends."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

import ray

from orchestrator.cli.process import WORKER_GROUP
from orchestrator.cluster.capacity import WorkerGroupSize
from orchestrator.cluster.several_workers import SeveralWorkersGroup
from orchestrator.cluster.single_worker import SingleWorkerGroup
from orchestrator.cluster.worker_loop import MakeRunner
from trainables.storage.redaction import redact

MAX_RESTARTS: Final = 1000
"""Restarts of a group over a whole sweep; the queue limits the attempts at each trial."""
CLOSE_SECONDS: Final = 5.0
"""How long groups may take to hear that the queue was closed, before they are ended."""
JOIN_SECONDS: Final = 60.0
"""How long to wait for the groups to end after the queue was closed."""


class WorkerGroup(Protocol):
    """A group of workers, which replaces those that die."""

    name: str

    def run(self) -> None:
        """Serve the queue until it ends the group; raise an error if the group is lost for good."""
        ...

    def end(self) -> None:
        """End the workers, none of which has a job that matters."""
        ...


@contextmanager
def warm_worker_groups(
    queue: Any, make_runner: MakeRunner, size: WorkerGroupSize, n_worker_groups: int, scratch: str
) -> Iterator[None]:
    """Run groups that serve the queue's jobs within the block; then end them and their workers.

    scratch: directory of Ray Train's files.
    """
    names = [f"{WORKER_GROUP}{number}" for number in range(n_worker_groups)]
    groups = [_make_group(queue, make_runner, size, name, scratch) for name in names]
    left = threading.Event()
    threads = [
        threading.Thread(target=_run, args=(group, queue, left), name=group.name, daemon=True)
        for group in groups
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    except BaseException as error:
        left.set()  # the groups' ends are expected
        if isinstance(error, Exception):  # else interrupted: they end with this process
            _end(groups)
        raise
    left.set()
    with suppress(ray.exceptions.RayActorError):  # the queue is gone, and the workers know it
        ray.get(queue.close.remote(), timeout=JOIN_SECONDS)
    _join(threads, CLOSE_SECONDS)
    _end(groups)  # one whose node died may wait forever for another
    _join(threads, JOIN_SECONDS)


def _make_group(
    queue: Any, make_runner: MakeRunner, size: WorkerGroupSize, name: str, scratch: str
) -> WorkerGroup:
    if size.workers == 1:
        return SingleWorkerGroup(queue, make_runner, size, name, MAX_RESTARTS)
    return SeveralWorkersGroup.make(queue, make_runner, size, name, MAX_RESTARTS, scratch)


def _run(group: WorkerGroup, queue: Any, left: threading.Event) -> None:
    """Run a group to its end; if that comes before the queue's, fail its job, to be run again.

    The sweep continues with the other groups.
    """
    try:
        group.run()
    except Exception as error:
        why = str(error)
    else:
        why = "its workers left the queue before it was closed"
    if not left.is_set():
        message = redact(f"worker group {group.name} ended: {why}")
        with suppress(ray.exceptions.RayActorError):  # the queue is gone too
            ray.get(queue.lose_worker_group.remote(group.name, message))


def _join(threads: Sequence[threading.Thread], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _end(groups: Sequence[WorkerGroup]) -> None:
    for group in groups:
        group.end()
