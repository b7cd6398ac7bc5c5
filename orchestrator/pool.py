"""Warm worker groups: long-lived Ray Train workers that serve trial after trial.

Each group is one ``TorchTrainer`` whose worker asks the queue for jobs until the sweep ends.
Tune's trials are light: they submit a job and forward its reports, so Tune schedules as usual.
"""

import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import ray

from orchestrator.trial_queue import AGAIN, END, Event, Job

if TYPE_CHECKING:
    import torch
    from ray.train.torch import TorchTrainer

    from trainables.checkpoints import EpochReport
    from trainables.outcome import Outcome
    from trainables.spec import Trial

CPUS_FOR_READING: Final = 1.0
"""Left free for Ray Data's tasks: without it workers would wait for their data for ever."""
MAX_RESTARTS: Final = 1000
"""Restarts of a group over a whole sweep; the queue bounds how often one trial is tried."""
JOIN_SECONDS: Final = 60.0


class TrialFailed(Exception):  # noqa: N818  (the trial's outcome)
    """A trial ended with an error on its worker."""


class Runner(Protocol):
    """What a worker does with a trial."""

    def run(self, trial: "Trial", listener: Any) -> "Outcome":
        """Run a trial, telling the listener how it goes."""
        ...


MakeRunner = Callable[["torch.device"], Runner]
"""Makes a worker's runner, on its device, when the worker starts."""


@dataclass(frozen=True)
class GroupSize:
    """The resources of one group."""

    cpus: float = 1.0
    gpus: float = 0.0

    def fits(self, resources: Mapping[str, float]) -> int:
        """Count the groups that a cluster's resources hold, beside Ray Data's reading."""
        by_cpu = int((resources.get("CPU", 0.0) - CPUS_FOR_READING + 1e-6) // self.cpus)
        if self.gpus == 0:
            return max(0, by_cpu)
        return max(0, min(by_cpu, int((resources.get("GPU", 0.0) + 1e-6) // self.gpus)))

    def missing(self, resources: Mapping[str, float]) -> str:
        """Say what one group needs and what the cluster has."""
        need = f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")
        has = f"{resources.get('CPU', 0):g} CPU and {resources.get('GPU', 0):g} GPU"
        return (
            f"a trial needs {need}, and reading {CPUS_FOR_READING:g} CPU more; "
            f"this Ray cluster has {has}. Lower --cpus-per-trial or --gpus-per-trial, "
            "or give the cluster more"
        )


@contextmanager
def warm_groups(
    queue: Any, make_runner: MakeRunner, size: GroupSize, n_groups: int, scratch: Path
) -> Iterator[None]:
    """Keep groups serving the queue's jobs; end them, and all they hold, on leaving.

    scratch: directory for Ray Train's own bookkeeping, on storage that all nodes share.
    """
    left = threading.Event()
    threads = [
        threading.Thread(
            target=_run_group,
            args=(queue, _trainer(queue, make_runner, size, f"group-{number}", scratch), left),
            name=f"group-{number}",
            daemon=True,
        )
        for number in range(n_groups)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    except BaseException:
        left.set()  # interrupted: nobody waits for trials, and no group is missed
        raise
    ray.get(queue.close.remote(), timeout=JOIN_SECONDS)
    for thread in threads:
        thread.join(JOIN_SECONDS)


def _run_group(queue: Any, trainer: "TorchTrainer", left: threading.Event) -> None:
    """Run a group to its end; one that fails for good gives its job up."""
    try:
        trainer.fit()
    except Exception as error:  # the sweep goes on with the other groups
        if not left.is_set():
            told = f"worker group {trainer.run_config.name} ended: {error}"
            ray.get(queue.lose_group.remote(trainer.run_config.name, told))


def _trainer(
    queue: Any, make_runner: MakeRunner, size: GroupSize, name: str, scratch: Path
) -> "TorchTrainer":
    # A group that loses its node resumes at the trial's checkpoint: it needs no notice, and the
    # watcher is one more process to start for every group.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    resources = {"CPU": size.cpus} | ({"GPU": size.gpus} if size.gpus else {})
    return TorchTrainer(
        serve,
        train_loop_config={"queue": queue, "group": name, "make_runner": make_runner},
        scaling_config=ScalingConfig(
            num_workers=1, use_gpu=size.gpus > 0, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name=name,
            storage_path=str(scratch),
            failure_config=FailureConfig(max_failures=MAX_RESTARTS),
        ),
    )


def serve(config: dict[str, Any]) -> None:
    """Serve a queue's jobs, one after another, on one warm Ray Train worker."""
    from ray.train.torch import get_device

    queue, group = config["queue"], str(config["group"])
    runner = config["make_runner"](get_device())
    while (job := ray.get(queue.take.remote(group))) != END:
        if job != AGAIN:
            _serve_one(runner, queue, job)


def _serve_one(runner: Runner, queue: Any, job: Job) -> None:
    """Run one job; an error is the job's outcome, and the worker goes on."""
    from trainables.spec import Trial

    listener = _Listener(queue, job.trial_id)
    try:
        outcome = runner.run(Trial.from_json(job.trial), listener)
        event = {"seconds": sum(outcome.seconds.values())}
        ray.get(queue.finish.remote(job.trial_id, event, None))
    except Exception as error:
        ray.get(queue.finish.remote(job.trial_id, {}, traceback.format_exc()))
        if "CUDA" in str(error):
            raise  # a process whose CUDA context failed serves no other trial: start anew


@dataclass(frozen=True)
class _Listener:
    """Forward a trial's progress to the queue."""

    queue: Any
    trial_id: str

    def stage(self, name: str) -> None:
        from trainables.finetune import Stopped

        call = self.queue.stage.options(name=f"{self.trial_id}: {name}")
        if not ray.get(call.remote(self.trial_id, name)):
            raise Stopped

    def epoch(self, report: "EpochReport") -> bool:
        call = self.queue.report.options(name=f"{self.trial_id}: epoch {report.epoch}")
        keep_going: bool = ray.get(call.remote(self.trial_id, asdict(report)))
        return keep_going


def listen(queue: Any, job: Job) -> Iterator[Event]:
    """Submit a job and yield its reports until it is done; drop the job when left earlier.

    Raises TrialFailed with the worker's error when the job fails.
    """
    ray.get(queue.submit.remote(job))
    try:
        number = 0
        while True:
            call = queue.next_event.options(name=job.trial_id)
            event: Event | None = ray.get(call.remote(job.trial_id, number))
            if event is None:
                continue
            if event.get("done"):
                if event["error"] is not None:
                    raise TrialFailed(event["error"])
                return
            number += 1
            yield event
    finally:
        queue.stop.remote(job.trial_id)
