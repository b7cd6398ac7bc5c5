"""How many groups a cluster holds, and what is said when it holds none."""

import subprocess
import sys

import pytest

from orchestrator.cluster.capacity import WorkerGroupSize


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
