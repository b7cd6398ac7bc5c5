"""The simulation of large clusters: times that can be told beforehand, and nothing lost."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulated_cluster import Cluster, Simulation, Task

QUIET = Cluster(
    1, boot=0.0, group_start=20.0, handover=0.5, report=0.0, spread=0.0, subject_bytes=2e9
)


def test_one_worker_starts_reads_each_subject_once_and_works() -> None:
    tasks = [Task(("a",), 10.0), Task(("b",), 5.0), Task(("a",), 10.0), Task(("b",), 5.0)]
    account = Simulation(QUIET, tasks).run()
    assert account.wall == pytest.approx(20 + 4 * 0.5 + 2 * 2.0 + 30.0)
    assert (account.work, account.reading, account.lost) == (30.0, 4.0, 0.0)


def test_two_workers_with_a_subject_each_take_half_the_time() -> None:
    tasks = [Task((subject,), 10.0) for subject in "ab" for _ in range(5)]
    alone = Simulation(QUIET, tasks).run()
    both = Simulation(replace(QUIET, gpus=2), tasks).run()
    assert both.reading == alone.reading
    assert both.wall - 20 == pytest.approx((alone.wall - 20) / 2, rel=0.02)


def test_shared_storage_is_shared() -> None:
    tasks = [Task((subject,), 10.0) for subject in "abcd"]
    slow = replace(QUIET, gpus=4, storage_rate=1e9, handover=0.0)
    assert Simulation(slow, tasks).run().reading > 4 * Simulation(QUIET, tasks).run().reading / 2


def test_reports_take_their_share_of_the_queue_from_trials() -> None:
    cluster = replace(QUIET, report=0.001, report_interval=2.0)
    assert replace(cluster, gpus=1000).served == pytest.approx(2 * 0.5)
    with pytest.raises(ValueError, match="2000 GPUs report more often"):
        _ = replace(cluster, gpus=2000).served


@given(
    seconds=st.lists(st.floats(1.0, 2000.0), min_size=1, max_size=30),
    gpus=st.integers(1, 20),
    hours=st.floats(0.05, 10.0),
    seed=st.integers(0, 5),
)
@settings(max_examples=30)
def test_all_work_is_done_once_whatever_fails(
    seconds: list[float], gpus: int, hours: float, seed: int
) -> None:
    cluster = Cluster(gpus, gpus_per_node=4, spread=0.0, hours_between_failures=hours)
    tasks = [Task((number % 3,), one) for number, one in enumerate(seconds)]
    account = Simulation(cluster, tasks, seed).run()
    assert account.work == pytest.approx(sum(seconds))
    assert account.lost >= 0
    assert 0 < account.efficiency(gpus) <= 1
