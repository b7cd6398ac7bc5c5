"""Measure the overhead of a sweep per trial and of its start, with empty trials in the queue.

python -m benchmarks.overhead [--trials 40] [--nested 8] [--starts 3]

For comparison, the same trials run as a ``TorchTrainer`` in each Tune trial, on the same Ray, and a
group of one worker is started as a ``TorchTrainer`` that serves proxy trials of Tune.
Target on two idle cores: at most 1 s of wall time per trial after start-up.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any, Final

import ray
import torch
from ray import tune
from ray.tune.schedulers import FIFOScheduler

from benchmarks.processes import cpu_seconds
from orchestrator.cli.environment import DRIVER, set_environment
from orchestrator.cluster.capacity import WorkerGroupSize
from orchestrator.cluster.connection import connect
from orchestrator.cluster.job_runner import run_jobs
from orchestrator.cluster.jobs import Job
from orchestrator.cluster.queue_actor import start_queue
from orchestrator.cluster.several_workers import SeveralWorkersGroup
from orchestrator.cluster.tune_adapter import Schedule, run_scheduled_jobs
from orchestrator.cluster.worker_groups import warm_worker_groups
from trainables.exceptions import Failure
from trainables.results.outcome import Outcome
from trainables.spec import Roi, Trial, Untuned
from trainables.spec.evaluation import WorkItem
from trainables.training.distributed import TrialProcessGroup

STARTED: Final = 4
"""Empty trials of each measured start."""


class NoWork:
    """A runner whose trials finish at once."""

    def __init__(self, device: torch.device, process_group: TrialProcessGroup) -> None:
        self._device = device
        self.held: frozenset[str] = frozenset()

    def run(self, trial: WorkItem, listener: Any) -> Outcome:
        """Do nothing, and return a finished outcome."""
        listener.stage("nothing")
        return Outcome(trial, "finished", "", self._device.type, time.time(), {"nothing": 0.0})

    def run_rank(self, trial: WorkItem) -> None:
        """Do nothing."""


class Ends:
    """Record when each trial ends."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def finished(self, trial_id: str) -> None:
        """Record the time."""
        self.times.append(time.perf_counter())

    def failed(self, trial_id: str, failure: Failure) -> None:
        """Stop the benchmark."""
        raise RuntimeError(f"{trial_id}: {failure.message}")


def main() -> None:
    """Measure both designs and print the seconds per trial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument(
        "--nested", type=int, default=8, help="trials with a TorchTrainer each (0: none)"
    )
    parser.add_argument("--starts", type=int, default=0, help="starts of each kind of group")
    options = parser.parse_args()
    set_environment(DRIVER)
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as scratch:
        if options.starts:
            report_starts(options.starts, scratch)
        connect(cores + 1, include_dashboard=True)
        if options.trials:
            report_warm(measure_warm(options.trials, cores, Path(scratch)))
        if options.nested:
            seconds = measure_nested(options.nested, Path(scratch))
            print(f"TorchTrainer in each Tune trial: {seconds:.1f} s per trial, one at a time")


def measure_warm(n_trials: int, n_worker_groups: int, scratch: Path) -> list[float]:
    """Run empty trials on warm groups; return the start, and the end of each trial, in seconds."""
    jobs = empty_jobs(n_trials)
    queue, ends = start_queue(0, n_worker_groups), Ends()
    start = time.perf_counter()
    with warm_worker_groups(queue, NoWork, WorkerGroupSize(), n_worker_groups, str(scratch)):
        run_jobs(jobs, queue, ends, concurrent=2 * n_worker_groups, retries=0)
    return [0.0, *(end - start for end in ends.times)]


def empty_jobs(n: int) -> list[Job]:
    """Make jobs with different ids."""
    trials = [Trial(Untuned(), (roi(number),)) for number in range(n)]
    return [Job(trial.id, trial.to_json(), trial.shards) for trial in trials]


def roi(number: int) -> Roi:
    """Return a numbered ROI, so that trials have different ids."""
    return Roi("none", f"subj{number:04d}", "lh", "V1v", 1, "none")


def report_warm(times: list[float]) -> None:
    """Print the start-up time, and the wall time per trial after the first trial's end."""
    gaps = [after - before for before, after in pairwise(times[1:])]
    each = (times[-1] - times[1]) / len(gaps)
    print(f"warm groups: {len(times) - 1} empty trials, start-up {times[1]:.1f} s")
    print(
        f"  {each:.2f} s per trial after start-up (median gap {median(gaps):.2f} s, "
        f"largest {max(gaps):.2f} s)"
    )


def report_starts(n: int, scratch: str) -> None:
    """Print the CPU time of starting a group and running four empty trials, for both kinds."""
    kinds = {"Ray Train and Tune": start_with_train_and_tune, "an actor": start_actor}
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(n):  # in turns, so that both meet the same load
        for name, start in kinds.items():
            connect(2)
            before, ends = cpu_seconds(os.getpid()), LastCpu()
            start(empty_jobs(STARTED), ends, scratch)
            seconds[name].append(ends.cpu - before)
            ray.shutdown()
    for name, each in seconds.items():
        print(f"start with {name}: {median(each):.1f} CPU-s ({min(each):.1f} to {max(each):.1f})")
    first, second = (median(each) for each in seconds.values())
    print(f"  ratio {first / second:.2f}")


class LastCpu(Ends):
    """Record the CPU time of all processes when the last of a few trials ends."""

    cpu = 0.0

    def finished(self, trial_id: str) -> None:
        """Record the CPU time."""
        super().finished(trial_id)
        if len(self.times) == STARTED:
            self.cpu = cpu_seconds(os.getpid())


def start_actor(jobs: list[Job], ends: Ends, scratch: str) -> None:
    """Run jobs as a sweep does."""
    queue = start_queue(0, 1)
    with warm_worker_groups(queue, NoWork, WorkerGroupSize(), 1, scratch):
        run_jobs(jobs, queue, ends, concurrent=2, retries=0)


def start_with_train_and_tune(jobs: list[Job], ends: Ends, scratch: str) -> None:
    """Run jobs on a ``TorchTrainer``, through proxy trials."""
    queue = start_queue(0, 1)
    group = SeveralWorkersGroup.make(queue, NoWork, WorkerGroupSize(), "group-0", 0, scratch)
    thread = Thread(target=group.run)
    thread.start()
    in_order = FIFOScheduler()  # type: ignore[no-untyped-call]
    run_scheduled_jobs(jobs, queue, Schedule(2, 0, scratch), ends, in_order)
    ray.get(queue.close.remote())
    thread.join()


def measure_nested(n_trials: int, scratch: Path) -> float:
    """Run empty trials as a TorchTrainer each; return the seconds per trial."""
    trainable: Callable[..., Any] = tune.with_resources(
        tune.with_parameters(nested_trial, scratch=str(scratch)),
        {"node:__internal_head__": 0.001},
    )
    start = time.perf_counter()
    tune.Tuner(
        trainable,
        param_space={"number": tune.grid_search(list(range(n_trials)))},
        tune_config=tune.TuneConfig(max_concurrent_trials=1),
        run_config=tune.RunConfig(name="nested", storage_path=str(scratch), verbose=0),
    ).fit()
    return (time.perf_counter() - start) / n_trials


def nested_trial(config: dict[str, Any], *, scratch: str) -> None:
    """Launch a TorchTrainer that does nothing, and report."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    TorchTrainer(
        nothing,
        scaling_config=ScalingConfig(num_workers=1),
        run_config=RunConfig(name=f"nested-{config['number']}", storage_path=scratch),
    ).fit()
    tune.report({"done": 1})


def nothing() -> None:
    """Do nothing."""


if __name__ == "__main__":
    main()
