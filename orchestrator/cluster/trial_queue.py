"""The queue between a run's trials and its warm worker groups: one small actor without workload.

Groups take jobs and report. The command submits jobs and receives their ends; where Ray Tune's
schedulers decide which trials stop, its proxy trials submit jobs and listen to their reports. A
group whose process died gets its job again after its restart. Stopping is cooperative: a worker
learns of a stop at its next report.
"""

import logging
import os
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any, Final

from orchestrator.cluster.job_table import JobTable
from orchestrator.cluster.jobs import AGAIN, END, End, Event, Job, QueueEntry, Reply, Stuck, Worker
from orchestrator.cluster.queue_metrics import QueueMetrics
from orchestrator.cluster.subject_locality import SubjectLocality
from orchestrator.cluster.waiters import Waiters
from trainables.exceptions import Failure

_logger = logging.getLogger(__name__)

DECISION_SECONDS: Final = 600.0
"""How long a job waits for its scheduler's decision before it continues without one."""
RESTART_GRACE_SECONDS: Final = 120.0
"""How long a group may take to restart after its worker was ended; then others take its job."""
POLL_SECONDS: Final = 5.0
"""How long a call to the queue stays open at most."""

JOBS: Final = "jobs"
ENDS: Final = "ends"
"""What callers wait for: a job to take, and the end of any job."""


class TrialQueue:
    """Waiting, running and just ended jobs. Every method is short; callers wait by polling.

    An ended job is removed when its end was received, or its listener leaves, so the queue does not
    slow down over a long sweep. A caller that waits is woken alone, so that a report costs the same
    whatever the number of groups.
    """

    def __init__(self, retries: int, n_worker_groups: int = 1) -> None:
        self._retries = retries
        self._n_worker_groups = n_worker_groups
        self._no_worker_group_left: Failure | None = None
        self._jobs = JobTable()
        self._waiters = Waiters()
        self._closed = False
        self._locality = SubjectLocality()
        self._metrics = QueueMetrics()

    async def pid(self) -> int:
        """Return the process id of this actor."""
        return os.getpid()

    async def exchange(self, jobs: Sequence[Job]) -> list[End]:
        """Add jobs; return the ends of jobs since the last call, none if none ends for seconds."""
        for job in jobs:
            await self.submit(job)
        ended = self._jobs.pop_ended()
        if not ended:
            await self._waiters.wait(ENDS, POLL_SECONDS)
            ended = self._jobs.pop_ended()
        return [End(entry.job.trial_id, entry.failure) for entry in ended]

    async def submit(self, job: Job) -> None:
        """Add a job to the queue, unless it is already waiting or running."""
        entry = self._jobs.get(job.trial_id)
        if entry is not None and not entry.ended and not entry.stopped:
            return
        entry = self._jobs.add(job)
        if self._no_worker_group_left is not None:
            self._end(entry, self._no_worker_group_left)
        self._offer()

    async def take(
        self, group: str, worker: Worker | None = None, held: Collection[str] = ()
    ) -> Job | Reply:
        """Return a group's next job, or tell it to ask again or to end.

        held: shards of the subjects that the group has in memory, whose jobs come first; then come
        those of subjects that the fewest groups have. A group that still has a job has lost its
        process during that job, and gets it again, as often as retries allow.
        """
        self._locality.record(group, held)
        lost = self._jobs.of_group(group)
        if lost is not None and self._died(lost):
            lost.alive, lost.worker, lost.ended_at = time.monotonic(), worker, None
            return lost.job
        entry = self._next(group)
        if entry is None and not self._closed:
            await self._waiters.wait(JOBS, POLL_SECONDS)
            entry = self._next(group)
        if entry is not None:
            entry.alive, entry.worker = time.monotonic(), worker
            _logger.info("%s: given to %s", entry.job.trial_id, group)
            return entry.job
        return END if self._closed else AGAIN

    async def stuck(self) -> list[Stuck]:
        """List the workers whose trial made no progress for longer than its stall timeout.

        Each is listed once. The caller ends it, and its group takes the trial again.
        """
        now, found = time.monotonic(), []
        for entry in self._jobs:
            if entry.ended:
                continue
            idle, worker = now - entry.alive, entry.worker
            if worker is not None and idle > entry.job.stall_timeout:
                why = f"no progress for {idle / 60:.1f} min at {entry.progress.stage}"
                entry.last_failure = Failure("stalled", why)
                entry.worker, entry.ended_at = None, now
                found.append(Stuck(entry.job.trial_id, worker.node, worker.pid))
            elif entry.ended_at is not None and now - entry.ended_at > RESTART_GRACE_SECONDS:
                self._hand_on(entry)  # its group could not restart
        return found

    async def nodes_died(self, nodes: Sequence[str]) -> None:
        """Return the jobs of dead nodes' workers to the queue, for the next group that asks.

        Their own groups may wait forever for another node.
        """
        for entry in self._jobs:
            if entry.worker is not None and not entry.ended and entry.worker.node in nodes:
                entry.last_failure = Failure("worker-lost", "its node died")
                self._hand_on(entry)

    def _hand_on(self, entry: QueueEntry) -> None:
        """Put a job without a worker at the head of the queue, as often as retries allow."""
        entry.worker = entry.ended_at = None
        if self._died(entry):
            self._jobs.put_back(entry)
            self._offer()

    def _died(self, entry: QueueEntry) -> bool:
        """Count a worker's death; return whether the job has attempts left."""
        entry.n_failures += 1
        _logger.warning("%s: %s", entry.job.trial_id, entry.last_failure.message)
        if entry.stopped or entry.n_failures > self._retries:
            why = entry.last_failure
            lost = f"its worker process died {entry.n_failures} times ({why.message})"
            self._end(entry, None if entry.stopped else Failure(why.kind, lost))
            return False
        entry.progress.stage = "restarting"
        return True

    async def upcoming(self, trial_id: str, held: Collection[str]) -> Job | None:
        """Guess the job that follows a running one in its group; None where none waits.

        It is not reserved, but guessed for no other group, and among equal jobs the group gets it.
        held: shards of the subjects that the group has in memory.
        """
        entry = self._jobs.get(trial_id)
        if entry is None or (group := entry.progress.group) is None:
            return None
        self._locality.record(group, held)
        return self._jobs.guess(group, lambda jobs: self._locality.choose(group, jobs))

    def _next(self, group: str) -> QueueEntry | None:
        job = None if self._closed else self._locality.choose(group, self._jobs.ready(group))
        if job is None:
            return None
        self._locality.give(group, job)
        entry = self._jobs.start(job, group)
        self._count()
        return entry

    async def stage(self, trial_id: str, name: str) -> bool:
        """Record the start of a trial's next step; return False if it should stop."""
        entry = self._jobs.get(trial_id)
        if entry is None:
            return False  # another worker has finished it
        entry.progress.stage, entry.alive = name, time.monotonic()
        return not entry.stopped

    async def report(self, trial_id: str, event: Event) -> bool:
        """Record an epoch; return False if the trial should stop.

        For a job that awaits its scheduler, this returns when its listener has processed the epoch,
        so that a stopped job trains no further epoch and frees its worker at once.
        """
        entry = self._jobs.get(trial_id)
        if entry is None:
            return False
        for name in ("epoch", "loss", "retrieval_top1", "images_per_second"):
            setattr(entry.progress, name, event.get(name))
        entry.events.append(event)
        entry.alive = time.monotonic()
        self._metrics.epoch(entry.progress.group, event)
        self._waiters.wake(("event", trial_id))
        if entry.job.awaits_scheduler:
            await self._await_decision(entry)
        return not entry.stopped

    async def _await_decision(self, entry: QueueEntry) -> None:
        """Wait until the listener has processed all events, or drops the job."""
        n_events, deadline = len(entry.events), time.monotonic() + DECISION_SECONDS
        while entry.heard < n_events and not (entry.stopped or entry.ended):
            if time.monotonic() > deadline:
                return  # the listener is gone for good
            await self._waiters.wait(("heard", entry.job.trial_id), POLL_SECONDS)

    async def finish(self, trial_id: str, event: Event, failure: Failure | None) -> None:
        """Record the end of a job: its last metrics, or why it failed."""
        entry = self._jobs.get(trial_id)
        if entry is not None and not entry.ended:
            if failure is None:
                entry.events.append(event)
            self._end(entry, failure)

    async def set_failure_reason(self, trial_id: str, reason: str) -> None:
        """Record why a group is about to restart, for the error of the job if it fails."""
        entry = self._jobs.get(trial_id)
        if entry is not None:
            entry.last_failure = Failure("worker-lost", reason)

    def _end(self, entry: QueueEntry, failure: Failure | None) -> None:
        message = {"error": failure.message, "kind": failure.kind} if failure else {"error": None}
        trial_id = entry.job.trial_id
        entry.events.append({"done": True, **message})
        entry.failure = failure
        self._jobs.end(entry)
        _logger.info("%s: %s", trial_id, failure.kind if failure else "finished")
        self._metrics.ended(entry.progress.group, failed=failure is not None)
        if entry.stopped:  # its listener has left
            self._jobs.remove(trial_id)
        for what in (ENDS, ("event", trial_id), ("heard", trial_id)):
            self._waiters.wake(what)
        self._offer()  # another job may train the same checkpoint

    async def next_event(self, trial_id: str, number: int) -> Event | None:
        """Return a trial's event by number, as soon as it exists; None: ask again."""
        entry = self._jobs.get(trial_id)
        if entry is None:
            raise KeyError(trial_id)
        if number > entry.heard:
            entry.heard = number
            self._waiters.wake(("heard", trial_id))
        if number >= len(entry.events):
            await self._waiters.wait(("event", trial_id), POLL_SECONDS)
        return entry.events[number] if number < len(entry.events) else None

    async def stop(self, trial_id: str) -> None:
        """Stop a trial, because its listener leaves.

        A waiting trial is dropped at once, a running one stops at its next report, and an ended one
        is removed.
        """
        entry = self._jobs.get(trial_id)
        if entry is None:
            return
        entry.stopped = True
        if entry.ended or entry.progress.group is None:
            self._jobs.remove(trial_id)
        self._waiters.wake(("heard", trial_id))
        self._count()

    async def running(self) -> list[dict[str, Any]]:
        """List the progress of the running jobs."""
        return [asdict(entry.progress) for entry in self._jobs.running]

    async def lose_worker_group(self, group: str, error: str) -> None:
        """Fail the job of a group that has ended for good, or all jobs if no group is left."""
        failure = Failure("worker-lost", error)
        self._n_worker_groups -= 1
        self._locality.record(group, ())
        self._jobs.drop_guess(group)
        lost = [self._jobs.of_group(group)]
        if self._n_worker_groups <= 0:
            lost += self._jobs.waiting
            self._no_worker_group_left = failure
        for entry in lost:
            if entry is not None:
                self._end(entry, failure)

    async def close(self) -> None:
        """End each group when it next asks for a job, even if jobs are waiting."""
        self._closed = True
        self._waiters.wake(JOBS)

    def _offer(self) -> None:
        """Wake a group for the job that may have become free."""
        if self._jobs.n_waiting:
            self._waiters.wake_one(JOBS)
        self._count()

    def _count(self) -> None:
        self._metrics.now(self._jobs.n_waiting, self._jobs.n_running)
