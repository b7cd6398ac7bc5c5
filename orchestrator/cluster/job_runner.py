"""Run jobs through the queue, in their order, with retries and without a scheduler."""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, Protocol

import ray

from orchestrator.cli.errors import full_disk
from orchestrator.cluster.jobs import End, Job
from trainables.exceptions import Failure


class QueueLost(Exception):  # noqa: N818  (what happened to the machine, not to a trial)
    """The queue's process or its node is gone, so the state of the trials is unknown."""


class Watcher(Protocol):
    """Receives, in the driver, how each trial ended."""

    def finished(self, trial_id: str) -> None:
        """Handle a finished trial."""
        ...

    def failed(self, trial_id: str, failure: Failure) -> None:
        """Handle a trial that has failed in all its attempts."""
        ...


def run_jobs(
    jobs: Sequence[Job], queue: Any, watcher: Watcher, *, concurrent: int, retries: int
) -> None:
    """Run all jobs, in order; return when all have ended.

    concurrent: jobs in the queue at once: one per group, and one waiting for each so that none
    idles. retries: further attempts at a failed job. Raises KeyboardInterrupt on Ctrl-C, at once,
    QueueLost if the queue is gone, and InputError at the first trial that finds the disk full,
    since all others would.
    """
    waiting = deque(jobs)
    submitted: dict[str, Job] = {}
    failures = Counter[str]()
    while waiting or submitted:
        n_more = min(len(waiting), concurrent - len(submitted))
        more = [waiting.popleft() for _ in range(n_more)]
        submitted |= {job.trial_id: job for job in more}
        for end in _exchange(queue, more):
            job, failure = submitted.pop(end.trial_id), end.failure
            if failure is None:
                watcher.finished(end.trial_id)
                continue
            failures[end.trial_id] += 1
            if failures[end.trial_id] <= retries and failure.kind != "disk-full":
                waiting.appendleft(job)
                continue
            watcher.failed(end.trial_id, failure)
            if failure.kind == "disk-full":
                raise full_disk(failure)


def _exchange(queue: Any, jobs: Sequence[Job]) -> list[End]:
    """Submit jobs; return those that have ended. Raises QueueLost."""
    try:
        ended: list[End] = ray.get(queue.exchange.remote(jobs))
    except ray.exceptions.RayActorError as error:
        raise QueueLost("the process of the trial queue has ended") from error
    return ended
