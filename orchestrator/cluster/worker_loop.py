"""The loop of a warm worker: serve the queue's jobs, alone or with the other workers of its group.

The first worker of a group takes jobs from the queue and reports to it; it broadcasts the jobs to
the others. If they are no longer in step, the worker fails, and the group is restarted.
"""

import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import ray

from orchestrator.cluster.jobs import END, Job, Reply, Worker
from trainables.exceptions import Abandoned, Diverged, ProcessGroupBroken, Stopped, WorkerLost
from trainables.storage.redaction import redact

if TYPE_CHECKING:
    import torch

    from trainables.results.epoch_report import EpochReport
    from trainables.results.outcome import Outcome
    from trainables.spec.evaluation import WorkItem
    from trainables.training.distributed import TrialProcessGroup

_logger = logging.getLogger(__name__)

REPORT_SECONDS: Final = 2.0
"""Least time between reports of epochs that no scheduler decides on."""
UPCOMING_SECONDS: Final = 60.0
"""How long to wait for the queue's guess of the next trial, in a thread beside the present one."""


class Runner(Protocol):
    """Runs trials and evaluations on a worker."""

    @property
    def held(self) -> frozenset[str]:
        """The shards of the subjects that the worker has in memory."""
        ...

    def run(self, trial: "WorkItem", listener: Any) -> "Outcome":
        """Run a trial as the first worker of a group, reporting progress to the listener."""
        ...

    def run_rank(self, trial: "WorkItem") -> None:
        """Run the part of a trial of any other worker of a group."""
        ...


MakeRunner = Callable[["torch.device", "TrialProcessGroup"], Runner]
"""Makes a worker's runner when the worker starts, from its device and process group."""


def serve(queue: Any, group: str, runner: Runner, process_group: "TrialProcessGroup") -> None:
    """Serve the jobs of a queue one after another, until it ends the group or is gone itself.

    Raises an error if this process can't serve further jobs and has to be restarted, as after a
    queue that was out of reach.
    """
    worker = Worker(ray.get_runtime_context().get_node_id(), os.getpid())
    rank, size = process_group.rank, process_group.size
    _logger.info("%s: worker %d of %d serves trials", group, rank + 1, size)

    def take() -> Job | Reply:
        answer: Job | Reply = ray.get(queue.take.remote(group, worker, runner.held))
        return answer

    try:
        while (job := process_group.decide(take)) != END:
            if isinstance(job, Job):  # else: ask again
                do = _serve_one if process_group.is_first else _run_rank
                do(runner, queue, job)
    except ray.exceptions.ActorUnavailableError:
        raise  # out of reach for now: a new worker asks again, and gets a job that was lost
    except (ray.exceptions.RayActorError, Abandoned) as error:
        _logger.warning("%s: the queue is gone: %s", group, error)
        return  # without the queue, the sweep has ended


def _serve_one(runner: Runner, queue: Any, job: Job) -> None:
    """Run one job; an error becomes the job's outcome, and the worker continues."""
    from trainables.compute.failures import failure_of
    from trainables.spec.evaluation import read_work_item

    _forget_peak_memory()
    listener = _Listener(queue, job)
    try:
        outcome = runner.run(read_work_item(job.trial), listener)
        event = {"seconds": sum(outcome.seconds.values())}
        ray.get(queue.finish.remote(job.trial_id, event, None))
    except ProcessGroupBroken as error:
        _report_failure(queue, job, error)
        raise
    except ray.exceptions.RayActorError:
        raise  # the queue's, not the job's
    except Exception as error:
        failure = failure_of(error)
        failure = replace(failure, message=redact(failure.message))
        ray.get(queue.finish.remote(job.trial_id, {}, failure))
        if failure.kind == "device":
            _logger.warning("%s: its device failed, so this process restarts", job.trial_id)
            raise  # a process whose device failed can't run another trial
    else:
        return
    _free_gpu_memory()  # not before: the error's frames held the trial's tensors


def _run_rank(runner: Runner, queue: Any, job: Job) -> None:
    """Assist with one job; errors that all workers raise are reported by the first."""
    from trainables.spec.evaluation import read_work_item

    try:
        runner.run_rank(read_work_item(job.trial))
    except (Stopped, Abandoned, Diverged):
        return
    except Exception as error:
        _report_failure(queue, job, error)
        raise


def _report_failure(queue: Any, job: Job, error: "Exception") -> None:
    """Report why a group has to restart; nothing is known of a lost worker."""
    if not isinstance(error, WorkerLost):
        ray.get(queue.set_failure_reason.remote(job.trial_id, redact(str(error))))


class _Listener:
    """Forwards a trial's progress to the queue."""

    def __init__(self, queue: Any, job: Job) -> None:
        self._queue = queue
        self._job = job
        self._name = job.name or job.trial_id
        self._sent: Any = None
        """The last report, while its answer is not known."""
        self._sent_at = -math.inf
        self._keep_going = True

    def stage(self, name: str) -> None:
        call = self._queue.stage.options(name=f"{self._name}: {name}")
        if not ray.get(call.remote(self._job.trial_id, name)):
            raise Stopped

    def epoch(self, report: "EpochReport") -> bool:
        """Report an epoch; where no scheduler decides on it, rarely, and without waiting.

        A job that is to stop then learns of it at a later epoch.
        """
        if self._job.awaits_scheduler:
            keep_going: bool = ray.get(self._send(report))
            return keep_going
        if self._sent is not None and ray.wait([self._sent], timeout=0)[0]:
            self._keep_going = ray.get(self._sent)
            self._sent = None
        if self._sent is None and time.monotonic() - self._sent_at >= REPORT_SECONDS:
            self._sent, self._sent_at = self._send(report), time.monotonic()
        return self._keep_going

    def upcoming(self, held: frozenset[str]) -> "WorkItem | None":
        from trainables.spec.evaluation import read_work_item

        call = self._queue.upcoming.remote(self._job.trial_id, held)
        job: Job | None = ray.get(call, timeout=UPCOMING_SECONDS)
        return None if job is None else read_work_item(job.trial)

    def _send(self, report: "EpochReport") -> Any:
        call = self._queue.report.options(name=f"{self._name}: epoch {report.epoch}")
        return call.remote(self._job.trial_id, asdict(report) | {"gpu_bytes": _gpu_bytes()})


def _gpu_bytes() -> int | None:
    """Return the peak GPU memory of the trial, in bytes; None if it uses no GPU."""
    import torch

    from trainables.compute.device import uses_cuda

    return torch.cuda.max_memory_allocated() if uses_cuda() else None


def _forget_peak_memory() -> None:
    """Count the peak GPU memory of the next trial from its start."""
    import torch

    from trainables.compute.device import uses_cuda

    if uses_cuda():
        torch.cuda.reset_peak_memory_stats()


def _free_gpu_memory() -> None:
    """Return the memory of a failed trial to the GPU, for other processes on it."""
    import torch

    from trainables.compute.device import uses_cuda

    if uses_cuda():
        torch.cuda.empty_cache()
