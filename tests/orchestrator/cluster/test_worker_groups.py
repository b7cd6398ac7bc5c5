"""How many groups a cluster holds, what is said when none, and what happens to a lost one's job."""

import asyncio
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.cluster import trial_queue, worker_groups
from orchestrator.cluster.capacity import WorkerGroupSize
from orchestrator.cluster.jobs import End
from orchestrator.cluster.trial_queue import TrialQueue
from tests.builders.queue_scenario import job
from trainables.exceptions import Failure


@pytest.mark.parametrize(
    ("size", "resources", "n_worker_groups"),
    [
        (WorkerGroupSize(), {"CPU": 3.0}, 2),
        (WorkerGroupSize(), {"CPU": 1.0}, 0),
        (WorkerGroupSize(2), {"CPU": 8.0}, 3),
        (WorkerGroupSize(1, 1), {"CPU": 17.0, "GPU": 4.0}, 4),
        (WorkerGroupSize(1, 0.5), {"CPU": 17.0, "GPU": 4.0}, 8),
        (WorkerGroupSize(1, 1), {"CPU": 17.0}, 0),
        (WorkerGroupSize(workers=2), {"CPU": 3.0}, 1),
        (WorkerGroupSize(workers=3), {"CPU": 3.0}, 0),
        (WorkerGroupSize(workers=4), {"CPU": 16.0}, 3),
        (WorkerGroupSize(2, 1, workers=2), {"CPU": 17.0, "GPU": 8.0}, 4),
        (WorkerGroupSize(2, 1, workers=2), {"CPU": 65.0, "GPU": 7.0}, 3),
        (WorkerGroupSize(1, 1, workers=8), {"CPU": 65.0, "GPU": 7.0}, 0),
    ],
)
def test_groups_fit_by_the_resources_of_all_their_workers(size, resources, n_worker_groups) -> None:
    assert size.fits(resources) == n_worker_groups


def test_what_a_group_of_several_workers_lacks_is_reported_with_the_cure() -> None:
    message = WorkerGroupSize(1, 1, workers=8).missing({"CPU": 17.0, "GPU": 4.0})
    assert message.startswith(
        "a trial needs 8 workers of 1 CPU and 1 GPU each, and reading data 1 CPU more; "
        "this Ray cluster has 17 CPU and 4 GPU. Lower --workers-per-trial, "
    )


def test_what_a_group_of_one_worker_lacks_is_reported_without_workers() -> None:
    assert "a trial needs 4 CPU, and reading data 1 CPU more" in WorkerGroupSize(4).missing(
        {"CPU": 2.0}
    )
    assert "workers" not in WorkerGroupSize(4).missing({"CPU": 2.0})


LEAVE = """
import atexit, sys, threading, time
from orchestrator.cli.process import leave
atexit.register(lambda: print("Ray shuts down"))
threading.Thread(target=time.sleep, args=(60,), name=sys.argv[1], daemon=True).start()
print("all scores")
leave(3)
"""


@pytest.mark.parametrize(("name", "orderly"), [("group-0", False), ("mlflow", True)])
def test_a_command_whose_group_still_waits_for_a_node_leaves_without_it(name, orderly) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVE, name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert done.stdout.splitlines() == ["all scores", *(["Ray shuts down"] if orderly else [])]


class Leaving:
    """A group that takes a job and leaves, by itself or with an error."""

    name = "g1"

    def __init__(self, queue: TrialQueue, error: Exception | None) -> None:
        self.queue = queue
        self.error = error

    def run(self) -> None:
        asyncio.run(self.queue.take(self.name))
        if self.error is not None:
            raise self.error

    def end(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("error", "why"),
    [(None, "its workers left the queue before it was closed"), (ValueError("no node"), "no node")],
)
@pytest.mark.parametrize("is_closing", [False, True])
def test_a_job_of_a_group_that_leaves_an_open_queue_is_free_for_another_at_once(
    monkeypatch, error, why, is_closing
) -> None:
    monkeypatch.setattr(trial_queue, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(worker_groups.ray, "get", asyncio.run)
    queue, left = TrialQueue(0, n_worker_groups=2), threading.Event()
    if is_closing:
        left.set()

    def lose(*arguments: Any) -> Any:
        return queue.lose_worker_group(*arguments)

    async def exchange(*jobs: Any) -> list[End]:
        return await queue.exchange(jobs)

    actor = SimpleNamespace(lose_worker_group=SimpleNamespace(remote=lose))
    asyncio.run(exchange(job("a")))
    worker_groups._run(Leaving(queue, error), actor, left)
    ended = asyncio.run(exchange())
    if is_closing:  # its end is expected, and the job counts as running
        assert ended == []
        return
    assert ended == [End("a", Failure("worker-lost", f"worker group g1 ended: {why}"))]
    asyncio.run(exchange(job("a")))  # as the command does
    assert asyncio.run(queue.take("g2")) == job("a")
