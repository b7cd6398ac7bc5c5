"""Run work on a Ray cluster: warm worker groups that serve a queue, and a watchdog over both."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import ray

from orchestrator.cli.errors import InputError
from orchestrator.cluster.capacity import WorkerGroupSize, size_worker_groups
from orchestrator.cluster.connection import connect, local_cpus
from orchestrator.cluster.dashboard import start_dashboard
from orchestrator.cluster.job_runner import QueueLost, run_jobs
from orchestrator.cluster.jobs import Job
from orchestrator.cluster.ordering import round_robin
from orchestrator.cluster.queue_actor import start_queue
from orchestrator.cluster.session_files import session_files
from orchestrator.cluster.utilisation import describe_utilisation
from orchestrator.cluster.watchdog import stall_timeout_for, watched
from orchestrator.cluster.worker_groups import warm_worker_groups
from orchestrator.execution.cost import Costs
from orchestrator.execution.monitor import Monitor
from orchestrator.execution.plan import Plan, make_plan
from orchestrator.execution.settings import RunSettings
from orchestrator.execution.setup import outcomes, run_context_of
from trainables.spec import Trial
from trainables.spec.evaluation import WorkItem
from trainables.worker.starting import start_runner

MAX_QUEUES: Final = 5
"""Number of queues that a run starts at most, each after the process of the last one died."""


@dataclass(frozen=True)
class WarmQueue:
    """A queue and the worker groups that serve it."""

    queue: Any
    size: WorkerGroupSize
    n: int
    """Groups."""
    scratch: str
    """Directory of Ray's own files."""

    def progress(self) -> list[dict[str, Any]]:
        """Return the progress of the running trials."""
        running: list[dict[str, Any]] = ray.get(self.queue.running.remote(), timeout=5)
        return running

    def missing(self) -> str:
        """Describe what the cluster lacks for another group."""
        return self.size.missing(ray.available_resources())  # type: ignore[no-untyped-call]


@contextmanager
def warm_queue(
    settings: RunSettings,
    n_waiting: int,
    largest: int,
    say: Callable[[str], None],
    *,
    of_search: bool = False,
) -> Iterator[WarmQueue]:
    """Run a queue, worker groups that serve it, and the watchdog within the block.

    n_waiting: trials to run. largest: bytes that the largest of them needs. of_search: whether
    checkpoints are kept apart, and only until their trial ends.
    """
    groups = size_worker_groups(settings.resources, n_waiting, largest)
    if groups.note:
        say(groups.note)
    queue = start_queue(settings.options.retries, groups.n)
    context = run_context_of(settings, share_of_gpu=min(1.0, groups.size.gpus) or 1.0)
    make_runner = partial(start_runner, replace(context, of_search=of_search))
    with (
        session_files() as scratch,
        warm_worker_groups(queue, make_runner, groups.size, groups.n, scratch),
        watched(queue),
    ):
        start_dashboard(say)  # while the workers import their libraries
        yield WarmQueue(queue, groups.size, groups.n, scratch)


@dataclass(frozen=True)
class RayExecutor:
    """Runs work on the cluster that RAY_ADDRESS names, or on a local one of this process."""

    settings: RunSettings
    costs: Costs

    def connect(self, say: Callable[[str], None]) -> None:
        """Connect to Ray."""
        connect_to_ray(self.settings)

    def run(self, plan: Plan, monitor: Monitor) -> Mapping[str, str]:
        """Run the waiting work; if the queue is lost, continue with a new one."""
        for _ in range(MAX_QUEUES):
            try:
                self._run_once(plan, monitor)
            except QueueLost as lost:
                monitor.say(f"{lost}; continuing with a new one")
                left = self._left_of(plan, monitor.failures)
                # The queue may have been lost before it could say that these have ended.
                monitor.tracker.due([one.id for one in plan.waiting if one not in left.waiting])
                plan = left
                if not plan.waiting:
                    return monitor.failures
            else:
                return monitor.failures
        raise InputError(
            f"the queue's process has ended {MAX_QUEUES} times; check the head node's memory"
        )

    def _run_once(self, plan: Plan, monitor: Monitor) -> None:
        """Run the waiting work through one queue."""
        waiting, options = plan.waiting, self.settings.options
        largest = max(self.costs.estimate(work_item).bytes for work_item in waiting)
        with warm_queue(self.settings, len(waiting), largest, monitor.say) as warm:
            monitor.tracker.prepare()  # while the workers import their libraries
            ordered = round_robin(waiting, warm.n, lambda work_item: work_item.shards)
            timeout = options.stall_timeout
            jobs = [make_job(one, self.costs, timeout, monitor.names) for one in ordered]
            began = time.time()
            with monitor.display(waiting, warm.progress, warm.missing) as display:
                watcher = monitor.watcher(display, waiting)
                run_jobs(jobs, warm.queue, watcher, concurrent=2 * warm.n, retries=options.retries)
            ended = time.time()
        ours = outcomes(self.settings.runs, waiting)
        if message := describe_utilisation(ours, warm.n, began, ended):
            monitor.say(message)

    def _left_of(self, plan: Plan, failures: Mapping[str, str]) -> Plan:
        """Plan again, without the failed trials."""
        left = make_plan(plan.trials, self.settings.runs, self.costs).waiting
        asked = {one.id for one in plan.waiting} - set(failures)
        return replace(plan, waiting=tuple(one for one in left if one.id in asked))


def connect_to_ray(settings: RunSettings) -> None:
    """Connect to the cluster, or start a local Ray of all CPUs."""
    connect(local_cpus(), include_dashboard=settings.dashboard)


def make_job(
    work_item: WorkItem,
    costs: Costs,
    stall_timeout: float | None,
    names: Mapping[str, str],
    *,
    awaits_scheduler: bool = False,
) -> Job:
    """Make a job; evaluations only read checkpoints, so any number may share one at a time.

    stall_timeout: seconds without progress after which its worker is restarted; None: by its
    estimated cost. names: of work items by id, for Ray's tasks.
    """
    training_id = work_item.training_id if isinstance(work_item, Trial) else ""
    if stall_timeout is None:
        stall_timeout = stall_timeout_for(costs.estimate(work_item).seconds)
    return Job(
        work_item.id,
        work_item.to_json(),
        work_item.shards,
        training_id,
        stall_timeout,
        awaits_scheduler,
        names.get(work_item.id, work_item.id),
    )
