"""A simulation of a sweep on a cluster: worker groups, a queue, failing nodes, shared storage."""

from collections import Counter
from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass, field
from math import log, sqrt
from typing import Any, Final

import numpy as np
import simpy

from orchestrator.cluster.ordering import round_robin

EPOCHS: Final = 30
"""Checkpoints per trial; a node's failure loses the work since the last one."""
Waiting = Generator[Any, Any, None]


@dataclass(frozen=True)
class Task:
    """A trial: the subjects that it reads and its working time in seconds."""

    subjects: tuple[Hashable, ...]
    seconds: float


@dataclass(frozen=True)
class Cluster:
    """Properties of the machines and their failures; times in seconds."""

    gpus: int
    gpus_per_node: int = 8
    boot: float = 90.0
    """Mean boot time of a node: a third of it is fixed, the rest is exponential."""
    group_start: float = 25.0
    """Time from a node's boot to its worker's first request."""
    handover: float = 0.0045
    """Time of the queue per trial, without its reports (benchmarks.queue_reports --ray)."""
    report: float = 0.0007
    """Time of the queue per report of an epoch, measured so too."""
    report_interval: float = 2.0
    """Time between the reports of a worker."""
    spread: float = 0.1
    """Standard deviation of a trial's time, relative to its mean."""
    hours_between_failures: float = 500.0
    """Mean time between failures of a node."""
    subject_bytes: float = 3e9
    """Bytes per subject: images and responses."""
    worker_rate: float = 1e9
    """Read rate of one worker, in bytes per second."""
    storage_rate: float = 1e10
    """Read rate of the shared storage for all workers, in bytes per second."""
    window: int = 2
    """Number of trials that are submitted ahead, per worker group."""

    @property
    def served(self) -> float:
        """Return the time until the queue has served a trial, beside the reports of all workers.

        Raises ValueError if it can't serve as many reports as there are.
        """
        free = 1 - self.gpus * self.report / self.report_interval
        if free <= 0:
            raise ValueError(f"{self.gpus} GPUs report more often than the queue can serve")
        return self.handover / free


@dataclass
class Account:
    """GPU time by use, in GPU-seconds."""

    work: float = 0.0
    reading: float = 0.0
    lost: float = 0.0
    """Work lost with failed nodes."""
    handing_over: float = 0.0
    starting: float = 0.0
    """Booting of nodes and start of worker groups."""
    wall: float = 0.0
    n_failures: int = 0

    def efficiency(self, gpus: int) -> float:
        """Return the fraction of all GPU time that was work."""
        return self.work / (self.wall * gpus)


@dataclass
class Simulation:
    """One sweep on one cluster, by the policy of the real queue."""

    cluster: Cluster
    tasks: Sequence[Task]
    seed: int = 0
    account: Account = field(default_factory=Account)

    def run(self) -> Account:
        """Run until the last trial ends; return the GPU time by use."""
        self._chance = np.random.default_rng(self.seed)
        self._env = simpy.Environment()
        self._queue = simpy.Resource(self._env, 1)
        ordered = round_robin(self.tasks, self.cluster.gpus, lambda task: task.subjects)
        self._waiting = [(task, task.seconds * self._factor()) for task in ordered]
        self._left = len(self._waiting)
        self._n_readers = 0
        self._caching: Counter[Hashable] = Counter()
        """Number of workers that have a subject in memory."""
        self._done = self._env.event()
        self._changed = self._env.event()
        n_nodes = -(-self.cluster.gpus // self.cluster.gpus_per_node)
        for node in range(n_nodes):
            first = node * self.cluster.gpus_per_node
            n_gpus = min(self.cluster.gpus_per_node, self.cluster.gpus - first)
            self._env.process(self._node(n_gpus))
        self._env.run(until=self._done)
        self.account.wall = self._env.now
        return self.account

    def _factor(self) -> float:
        """Draw a trial's time relative to its mean, from a log-normal distribution of mean 1."""
        variance = log(1 + self.cluster.spread**2)
        return float(np.exp(self._chance.normal(-variance / 2, sqrt(variance))))

    def _node(self, n_gpus: int) -> Waiting:
        """Boot, work, fail, and be replaced."""
        while True:
            third = self.cluster.boot / 3
            yield self._env.timeout(third + self._chance.exponential(2 * third))
            workers = [self._env.process(self._worker()) for _ in range(n_gpus)]
            mean = 3600 * self.cluster.hours_between_failures
            yield self._env.timeout(self._chance.exponential(mean))
            self.account.n_failures += 1
            for worker in workers:
                if worker.is_alive:
                    worker.interrupt()

    def _worker(self) -> Waiting:
        cached: tuple[Hashable, ...] = ()
        current: tuple[Task, float] | None = None
        since = float("inf")
        """Start time of the current trial's work, or None."""
        try:
            yield self._env.timeout(self.cluster.group_start)
            self.account.starting += self.cluster.group_start
            while self._left:
                current, since = None, float("inf")
                before = self._env.now
                with self._queue.request() as turn:
                    yield turn
                    yield self._env.timeout(self.cluster.served)
                    current = self._take(cached)
                self.account.handing_over += self._env.now - before
                if current is None:
                    yield self._changed
                    continue
                task, seconds = current
                missing = [one for one in task.subjects if one not in cached]
                if missing:
                    self._caching.subtract(cached)
                    cached = task.subjects
                    self._caching.update(cached)
                    yield from self._read(len(missing))
                since = self._env.now
                yield self._env.timeout(seconds)
                self.account.work += seconds
                current = None
                self._finish()
        except simpy.Interrupt:
            self._caching.subtract(cached)
            if current is not None:
                self._give_back(*current, max(0.0, self._env.now - since))

    def _take(self, cached: tuple[Hashable, ...]) -> tuple[Task, float] | None:
        """Take the first submitted trial of cached subjects, or else the first one."""
        window = self._waiting[: self.cluster.window * self.cluster.gpus]
        if not window:
            return None
        known = (k for k, (task, _) in enumerate(window) if set(task.subjects) <= set(cached))
        first = next(known, None)
        if first is None:
            tasks = range(len(window))
            first = min(tasks, key=lambda k: max(self._caching[s] for s in window[k][0].subjects))
        return self._waiting.pop(first)

    def _read(self, n_subjects: int) -> Waiting:
        self._n_readers += 1
        rate = min(self.cluster.worker_rate, self.cluster.storage_rate / self._n_readers)
        before = self._env.now
        try:
            yield self._env.timeout(n_subjects * self.cluster.subject_bytes / rate)
        finally:
            self._n_readers -= 1
            self.account.reading += self._env.now - before

    def _finish(self) -> None:
        self._left -= 1
        self._report()
        if not self._left:
            self._done.succeed()

    def _give_back(self, task: Task, seconds: float, worked: float) -> None:
        """Put a failed worker's trial first in the queue; its checkpointed epochs are kept."""
        an_epoch = seconds / EPOCHS
        kept = worked // an_epoch * an_epoch
        self.account.work += kept
        self.account.lost += worked - kept
        self._waiting.insert(0, (task, seconds - kept))
        self._report()

    def _report(self) -> None:
        self._changed.succeed()
        self._changed = self._env.event()
