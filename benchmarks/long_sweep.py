"""Measure time and memory over a long sweep of empty trials on a simulated cluster.

python -m benchmarks.long_sweep [--trials 1000 --nodes 64 --groups 4]
python -m benchmarks.long_sweep --simulated 8,64,256,512 [--trials 1000 --epochs 5]

The nodes are simulated by ``ray.cluster_utils`` on this machine, with one CPU each. Worker groups
are processes that import torch, so their number is limited by its cores. After each tenth of the
trials, it prints the seconds per trial and the memory of the driver and of the queue's actor.

Simulated groups are coroutines of one actor that do no work, so there may be hundreds. The driver's
part is real: its loop over jobs, its display, which asks each second what runs, and its watchdog.
Trials are run without epochs and with them; the difference is what reports of epochs cost.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import ray
from ray.cluster_utils import Cluster
from rich.console import Console

from benchmarks.overhead import NoWork, empty_jobs
from benchmarks.processes import cpu_seconds
from benchmarks.queue_reports import GroupsActor
from orchestrator.cli.environment import DRIVER, set_environment
from orchestrator.cluster.capacity import WorkerGroupSize
from orchestrator.cluster.connection import connect
from orchestrator.cluster.job_runner import run_jobs
from orchestrator.cluster.queue_actor import start_queue
from orchestrator.cluster.watchdog import watched
from orchestrator.cluster.worker_groups import warm_worker_groups
from orchestrator.execution.progress import Display
from trainables.exceptions import Failure

STORE_BYTES: Final = 80 << 20
"""Resources of each simulated node."""
MB: Final = 1 << 20


class Meter:
    """Print the time and the memory of processes after each tenth of the trials."""

    def __init__(self, n_trials: int, queue_pid: int) -> None:
        self._n_trials = n_trials
        self._pids = {"driver": os.getpid(), "queue": queue_pid}
        self._done = 0
        self._since = time.perf_counter()

    def finished(self, trial_id: str) -> None:
        """Count a trial; print a line at each tenth."""
        self._done += 1
        every = max(1, self._n_trials // 10)
        if self._done % every:
            return
        now = time.perf_counter()
        sizes = ", ".join(
            f"{name} {resident(pid) / MB:,.0f} MB" for name, pid in self._pids.items()
        )
        print(
            f"{self._done:6} trials: {(now - self._since) / every:.3f} s per trial, {sizes}",
            flush=True,
        )
        self._since = now

    def failed(self, trial_id: str, failure: Failure) -> None:
        """Stop the benchmark."""
        raise RuntimeError(f"{trial_id}: {failure.message}")


class Shown:
    """Shows the ends of trials, as a sweep does."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def finished(self, trial_id: str) -> None:
        """Show a finished trial."""
        self._display.finished(trial_id)

    def failed(self, trial_id: str, failure: Failure) -> None:
        """Stop the benchmark."""
        raise RuntimeError(f"{trial_id}: {failure.message}")


def resident(pid: int) -> int:
    """Read the resident memory of a process, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Run the trials on nodes or simulated groups, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--simulated", metavar="N,N", help="numbers of simulated groups")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of their trials")
    options = parser.parse_args()
    set_environment(DRIVER)
    if options.simulated:
        connect(3)
        report_simulated(options.trials, options.epochs, options.simulated.split(","))
    else:
        run_on_nodes(options.trials, options.nodes, options.groups)


def report_simulated(n_trials: int, n_epochs: int, numbers: Sequence[str]) -> None:
    """Print CPU milliseconds of the driver and the queue for each number of groups."""
    print("| groups | driver, ms per trial | queue, ms per trial | queue, ms per report |")
    print("|---|---|---|---|")
    for n_groups in map(int, numbers):
        driver, queue = simulate(n_trials, n_groups, 0)
        _, with_epochs = simulate(n_trials, n_groups, n_epochs)
        each = (with_epochs - queue) / n_epochs
        print(f"| {n_groups} | {driver:.2f} | {queue:.2f} | {each:.2f} |", flush=True)


def simulate(n_trials: int, n_groups: int, n_epochs: int) -> tuple[float, float]:
    """Run trials on simulated groups; return ms of CPU per trial of the driver and the queue."""
    jobs, queue = empty_jobs(n_trials), start_queue(0, n_groups)
    pid = ray.get(queue.pid.remote())
    groups: Any = ray.remote(GroupsActor).options(num_cpus=1).remote()
    ray.get(groups.pid.remote())
    before = time.process_time(), cpu_seconds(pid)
    served = groups.serve.remote(queue, n_groups, n_epochs)
    display = Display(
        Console(file=io.StringIO()),
        costs={job.trial_id: 1.0 for job in jobs},
        epochs={job.trial_id: n_epochs for job in jobs},
        progress=lambda: ray.get(queue.running.remote()),
        score=lambda trial_id: None,
        missing=lambda: "",
    )
    with watched(queue), display:
        run_jobs(jobs, queue, Shown(display), concurrent=2 * n_groups, retries=0)
    ray.get(queue.close.remote())
    ray.get(served)
    after = time.process_time(), cpu_seconds(pid)
    ray.kill(groups)
    ray.kill(queue)
    driver, queued = (1000 * (b - a) / n_trials for a, b in zip(before, after, strict=True))
    return driver, queued


def run_on_nodes(n_trials: int, n_nodes: int, n_worker_groups: int) -> None:
    """Start the nodes, run the trials on worker groups, and print the times."""
    start = time.perf_counter()
    head = {"num_cpus": 2, "object_store_memory": STORE_BYTES, "include_dashboard": True}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(n_nodes - 1):
            cluster.add_node(wait=False, num_cpus=1, object_store_memory=STORE_BYTES)
        cluster.wait_for_nodes(timeout=600)
        print(f"{n_nodes} nodes in {time.perf_counter() - start:.0f} s", flush=True)
        os.environ["RAY_ADDRESS"] = cluster.address
        connect()
        with tempfile.TemporaryDirectory() as scratch:
            run(n_trials, n_worker_groups, Path(scratch))
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]


def run(n_trials: int, n_worker_groups: int, scratch: Path) -> None:
    """Run empty trials on warm worker groups of the cluster."""
    jobs = empty_jobs(n_trials)
    queue: Any = start_queue(0, n_worker_groups)
    meter = Meter(n_trials, ray.get(queue.pid.remote()))
    start = time.perf_counter()
    with warm_worker_groups(queue, NoWork, WorkerGroupSize(), n_worker_groups, str(scratch)):
        run_jobs(jobs, queue, meter, concurrent=2 * n_worker_groups, retries=0)
    print(f"{n_trials} trials in {time.perf_counter() - start:.0f} s, start-up included")


if __name__ == "__main__":
    main()
