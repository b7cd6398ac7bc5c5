"""The queue between Tune's trials and the warm worker groups: one small actor without workload.

Groups take jobs and report; Tune's proxy trials submit jobs and listen. A group whose process died
gets its job again after its restart. Stopping is cooperative: a worker learns of a stop at its
next report.
"""

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from orchestrator.cluster.jobs import (
    AGAIN,
    END,
    Event,
    Job,
    Progress,
    QueueEntry,
    Reply,
    Stuck,
    Worker,
)
from orchestrator.cluster.queue_metrics import QueueMetrics
from orchestrator.cluster.subject_locality import SubjectLocality
from trainables.exceptions import Failure

_logger = logging.getLogger(__name__)

DECISION_SECONDS: Final = 600.0
"""How long a job waits for its scheduler's decision before it continues without one."""
RESTART_GRACE_SECONDS: Final = 120.0
"""How long a group may take to restart after its worker was ended; then others take its job."""
POLL_SECONDS: Final = 5.0
"""How long a call to the queue stays open at most."""


class TrialQueue:
    """Waiting, running and just ended jobs. Every method is short; callers wait by polling.

    An ended job is removed when its listener leaves, so the queue does not slow down over a long
    sweep.
    """

    def __init__(self, retries: int, n_worker_groups: int = 1) -> None:
        self._retries = retries
        self._n_worker_groups = n_worker_groups
        self._no_worker_group_left: Failure | None = None
        self._entries: dict[str, QueueEntry] = {}
        self._waiting: list[str] = []
        self._changed = asyncio.Condition()
        self._closed = False
        self._locality = SubjectLocality()
        self._metrics = QueueMetrics()

    async def pid(self) -> int:
        """Return the process id of this actor."""
        return os.getpid()

    async def submit(self, job: Job) -> None:
        """Add a job to the queue, unless it is already waiting or running."""
        entry = self._entries.get(job.trial_id)
        if entry is None or entry.ended or entry.stopped:
            self._entries[job.trial_id] = QueueEntry(job, Progress(job.trial_id))
            if self._no_worker_group_left is None:
                self._waiting.append(job.trial_id)
            else:
                self._end(self._entries[job.trial_id], self._no_worker_group_left)
        await self._notify()

    async def take(self, group: str, worker: Worker | None = None) -> Job | Reply:
        """Return a group's next job, or tell it to ask again or to end.

        Jobs of subjects that the group has in memory come first, then those of subjects that the
        fewest groups have. A group that still has a job has lost its process during that job, and
        gets it again, as often as retries allow.
        """
        lost = self._running(group)
        if lost is not None and self._died(lost):
            lost.alive, lost.worker, lost.ended_at = time.monotonic(), worker, None
            return lost.job
        if lost is not None:
            await self._notify()
        job = self._next(group)
        if job is None and not self._closed:
            await self._wait()
            job = self._next(group)
        if job is not None:
            entry = self._entries[job.trial_id]
            entry.alive, entry.worker = time.monotonic(), worker
            _logger.info("%s: given to %s", job.trial_id, group)
            return job
        return END if self._closed else AGAIN

    async def stuck(self) -> list[Stuck]:
        """List the workers whose trial made no progress for longer than its stall timeout.

        Each is listed once. The caller ends it, and its group takes the trial again.
        """
        now, found = time.monotonic(), []
        for entry in self._entries.values():
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
        await self._notify()
        return found

    async def nodes_died(self, nodes: Sequence[str]) -> None:
        """Return the jobs of dead nodes' workers to the queue, for the next group that asks.

        Their own groups may wait forever for another node.
        """
        for entry in self._entries.values():
            if entry.worker is not None and not entry.ended and entry.worker.node in nodes:
                entry.last_failure = Failure("worker-lost", "its node died")
                self._hand_on(entry)
        await self._notify()

    def _hand_on(self, entry: QueueEntry) -> None:
        """Put a job without a worker at the head of the queue, as often as retries allow."""
        entry.worker = entry.ended_at = None
        if self._died(entry):
            entry.progress.group, entry.progress.stage = None, "waiting"
            self._waiting.insert(0, entry.job.trial_id)

    def _running(self, group: str) -> QueueEntry | None:
        for entry in self._entries.values():
            if entry.progress.group == group and not entry.ended:
                return entry
        return None

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

    def _next(self, group: str) -> Job | None:
        if self._closed or not self._waiting:
            return None
        ready = [
            entry for entry in map(self._entries.__getitem__, self._waiting) if self._is_free(entry)
        ]
        if not ready:
            return None
        job = self._locality.choose(group, [entry.job for entry in ready])
        self._waiting.remove(job.trial_id)
        progress = self._entries[job.trial_id].progress
        progress.group, progress.stage = group, "starting"
        return job

    def _is_free(self, entry: QueueEntry) -> bool:
        """Return whether no other job is training the same checkpoint."""
        return not any(
            one.job.training_id == entry.job.training_id
            for one in self._entries.values()
            if one.job.training_id and one.progress.group is not None and not one.ended
        )

    async def stage(self, trial_id: str, name: str) -> bool:
        """Record the start of a trial's next step; return False if it should stop."""
        entry = self._entries.get(trial_id)
        if entry is None:
            return False  # another worker has finished it
        entry.progress.stage, entry.alive = name, time.monotonic()
        return not entry.stopped

    async def report(self, trial_id: str, event: Event) -> bool:
        """Record an epoch; return False if the trial should stop.

        For a job that awaits its scheduler, this returns when its listener has processed the epoch,
        so that a stopped job trains no further epoch and frees its worker at once.
        """
        entry = self._entries.get(trial_id)
        if entry is None:
            return False
        for name in ("epoch", "loss", "retrieval_top1", "images_per_second"):
            setattr(entry.progress, name, event.get(name))
        entry.events.append(event)
        entry.alive = time.monotonic()
        self._metrics.epoch(entry.progress.group, event)
        await self._notify()
        if entry.job.awaits_scheduler:
            await self._await_decision(entry)
        return not entry.stopped

    async def _await_decision(self, entry: QueueEntry) -> None:
        """Wait until the listener has processed all events, or drops the job."""
        n_events, deadline = len(entry.events), time.monotonic() + DECISION_SECONDS
        while entry.heard < n_events and not (entry.stopped or entry.ended):
            if time.monotonic() > deadline:
                return  # the listener is gone for good
            await self._wait()

    async def finish(self, trial_id: str, event: Event, failure: Failure | None) -> None:
        """Record the end of a job: its last metrics, or why it failed."""
        entry = self._entries.get(trial_id)
        if entry is not None and not entry.ended:
            if failure is None:
                entry.events.append(event)
            self._end(entry, failure)
        await self._notify()

    async def set_failure_reason(self, trial_id: str, reason: str) -> None:
        """Record why a group is about to restart, for the error of the job if it fails."""
        if trial_id in self._entries:
            self._entries[trial_id].last_failure = Failure("worker-lost", reason)

    def _end(self, entry: QueueEntry, failure: Failure | None) -> None:
        message = {"error": failure.message, "kind": failure.kind} if failure else {"error": None}
        entry.events.append({"done": True, **message})
        entry.ended = True
        _logger.info("%s: %s", entry.job.trial_id, failure.kind if failure else "finished")
        self._metrics.ended(entry.progress.group, failed=failure is not None)
        if entry.stopped:  # its listener has left
            self._entries.pop(entry.job.trial_id, None)

    async def next_event(self, trial_id: str, number: int) -> Event | None:
        """Return a trial's event by number, as soon as it exists; None: ask again."""
        entry = self._entries[trial_id]
        if number > entry.heard:
            entry.heard = number
            await self._notify()
        if number >= len(entry.events):
            await self._wait()
        return entry.events[number] if number < len(entry.events) else None

    async def stop(self, trial_id: str) -> None:
        """Stop a trial, because its listener leaves.

        A waiting trial is dropped at once, a running one stops at its next report, and an ended one
        is removed.
        """
        entry = self._entries.get(trial_id)
        if entry is None:
            return
        entry.stopped = True
        if entry.ended or trial_id in self._waiting:
            self._waiting = [one for one in self._waiting if one != trial_id]
            del self._entries[trial_id]
        await self._notify()

    async def running(self) -> list[dict[str, Any]]:
        """List the progress of the running jobs."""
        return [
            asdict(entry.progress)
            for entry in self._entries.values()
            if entry.progress.group is not None and not entry.ended
        ]

    async def lose_worker_group(self, group: str, error: str) -> None:
        """Fail the job of a group that has ended for good, or all jobs if no group is left."""
        failure = Failure("worker-lost", error)
        self._n_worker_groups -= 1
        lost = [self._running(group)]
        if self._n_worker_groups <= 0:
            lost += [self._entries[trial_id] for trial_id in self._waiting]
            self._waiting.clear()
            self._no_worker_group_left = failure
        for entry in lost:
            if entry is not None:
                self._end(entry, failure)
        await self._notify()

    async def close(self) -> None:
        """End each group when it next asks for a job, even if jobs are waiting."""
        self._closed = True
        await self._notify()

    async def _notify(self) -> None:
        n_running = sum(
            1 for one in self._entries.values() if one.progress.group is not None and not one.ended
        )
        self._metrics.now(len(self._waiting), n_running)
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self) -> None:
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait(), POLL_SECONDS)
            except TimeoutError:
                return
