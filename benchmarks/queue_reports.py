"""Measure what a trial and a report of an epoch cost the trial queue, by its number of groups.

python -m benchmarks.queue_reports [--ray] [--groups 8,64,256,512]

The groups are coroutines that do no work. Without ``--ray``, they call the queue in this process,
which shows how its own cost grows. With ``--ray``, they call its actor from another one, and the
CPU time of the queue's process is measured, Ray's share of each call included.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import ray

from benchmarks.processes import cpu_seconds
from orchestrator.cli.environment import DRIVER, set_environment
from orchestrator.cluster.connection import connect
from orchestrator.cluster.jobs import AGAIN, END, Job
from orchestrator.cluster.queue_actor import start_queue
from orchestrator.cluster.trial_queue import TrialQueue

TRIALS: Final = 2048
EPOCHS: Final = 10
SUBJECTS: Final = 8
STAGES: Final = ("reading", "finetuning", "features", "encoding")
Call = Callable[..., Awaitable[Any]]
"""Calls a method of the queue by its name."""


def main() -> None:
    """Print the milliseconds per trial and per report for each number of groups."""
    parser = argparse.ArgumentParser(description="Measure the cost of a report to the queue.")
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--groups", default="8,64,256,512")
    options = parser.parse_args()
    if options.ray:
        set_environment(DRIVER)
        connect(3, include_dashboard=False)
    for n in map(int, options.groups.split(",")):
        trial = measure(n, 0, with_ray=options.ray)
        report = (measure(n, EPOCHS, with_ray=options.ray) - trial) / EPOCHS
        print(f"{n:4} groups: {trial:.3f} ms per trial, {report:.3f} ms per report", flush=True)


def measure(n_groups: int, n_epochs: int, *, with_ray: bool) -> float:
    """Return the milliseconds of CPU time that the queue needs for a trial with some epochs."""
    if not with_ray:
        start = time.process_time()
        asyncio.run(run_in_process(n_groups, n_epochs))
        return 1000 * (time.process_time() - start) / TRIALS
    queue = start_queue(0, n_groups)
    pid = ray.get(queue.pid.remote())
    groups: Any = ray.remote(GroupsActor).options(num_cpus=1).remote()
    ray.get(groups.pid.remote())
    before = cpu_seconds(pid)
    ray.get(groups.run.remote(queue, n_groups, n_epochs))
    return 1000 * (cpu_seconds(pid) - before) / TRIALS


async def run_in_process(n_groups: int, n_epochs: int) -> None:
    """Run trials through a queue of this process."""
    queue = TrialQueue(0, n_groups)

    def call(name: str, *arguments: Any) -> Awaitable[Any]:
        return getattr(queue, name)(*arguments)  # type: ignore[no-any-return]

    await run(call, n_groups, n_epochs)


class GroupsActor:
    """Simulated worker groups, and the command, that call a queue's actor."""

    async def pid(self) -> int:
        """Return the process id of this actor."""
        return os.getpid()

    async def run(self, queue: Any, n_groups: int, n_epochs: int) -> None:
        """Run trials through the queue's actor."""
        await run(_caller(queue), n_groups, n_epochs)

    async def serve(self, queue: Any, n_groups: int, n_epochs: int) -> None:
        """Serve the trials of a command until it closes the queue's actor."""
        call = _caller(queue)
        await asyncio.gather(*(serve(call, f"group-{k}", n_epochs) for k in range(n_groups)))


def _caller(queue: Any) -> Call:
    def call(name: str, *arguments: Any) -> Awaitable[Any]:
        return getattr(queue, name).remote(*arguments)  # type: ignore[no-any-return]

    return call


async def run(call: Call, n_groups: int, n_epochs: int) -> None:
    """Submit trials and serve them by some groups, as a command and its workers do."""
    names = [f"trial-{number:05}" for number in range(TRIALS)]
    jobs = [Job(one, "{}", (f"subj{k % SUBJECTS}",), one) for k, one in enumerate(names)]
    groups = [asyncio.create_task(serve(call, f"group-{k}", n_epochs)) for k in range(n_groups)]
    await submit(call, jobs, 2 * n_groups)
    await call("close")
    await asyncio.gather(*groups)


async def submit(call: Call, jobs: Sequence[Job], n_at_once: int) -> None:
    """Keep some jobs in the queue until all have ended."""
    n_submitted = n_ended = 0
    while n_ended < len(jobs):
        more = jobs[n_submitted : n_ended + n_at_once]
        n_submitted += len(more)
        n_ended += len(await call("exchange", more))


async def serve(call: Call, group: str, n_epochs: int) -> None:
    """Take jobs, and report as a worker does."""
    while (job := await call("take", group)) != END:
        if job == AGAIN:
            continue
        for stage in STAGES:
            await call("stage", job.trial_id, stage)
        await call("upcoming", job.trial_id, ())
        for epoch in range(n_epochs):
            await call("report", job.trial_id, {"epoch": epoch, "loss": 0.5})
        await call("finish", job.trial_id, {"seconds": 0.0}, None)


if __name__ == "__main__":
    main()
