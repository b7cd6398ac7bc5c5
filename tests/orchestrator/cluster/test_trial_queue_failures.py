"""The queue when workers, groups and nodes die, hang or come back late."""

import asyncio
from dataclasses import replace

import pytest

from orchestrator.cluster import trial_queue
from orchestrator.cluster.jobs import AGAIN, Stuck, Worker
from orchestrator.cluster.trial_queue import TrialQueue
from tests.builders.queue_scenario import events, job, run
from trainables.exceptions import Failure

pytestmark = pytest.mark.usefixtures("short_polls")


def test_what_is_known_of_a_group_s_death_is_in_the_error_of_the_job_that_fails_by_it() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.take("g1")
        await queue.set_failure_reason("a", "worker 1: MemoryError: no")
        await queue.take("g1")
        [end] = await events(queue, "a", 1)
        assert "died 1 times (worker 1: MemoryError: no)" in end["error"]

    run(scenario, retries=0)


def test_a_group_that_comes_back_gets_its_job_again() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.submit(job("b"))
        assert (await queue.take("g1")).trial_id == "a"
        assert (await queue.take("g1")).trial_id == "a"
        assert (await queue.running())[0]["stage"] == "restarting"

    run(scenario)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_job_that_kills_its_worker_too_often_fails_and_the_group_goes_on(retries) -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.submit(job("b"))
        for _ in range(retries + 1):
            assert (await queue.take("g1")).trial_id == "a"
        assert (await queue.take("g1")).trial_id == "b"
        [end] = await events(queue, "a", 1)
        assert end["done"]
        assert f"died {retries + 1} times" in end["error"]

    run(scenario, retries)


def test_a_listener_hears_at_once_that_a_job_is_lost(monkeypatch) -> None:
    monkeypatch.setattr(trial_queue, "POLL_SECONDS", 60)

    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.submit(job("b"))
        await queue.take("g1")
        heard = asyncio.create_task(queue.next_event("a", 0))
        await asyncio.sleep(0)
        await queue.take("g1")
        assert (await asyncio.wait_for(heard, 5))["done"]

    run(scenario, retries=0)


def test_a_failed_job_has_its_error_and_no_metrics() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.take("g1")
        await queue.finish("a", {}, Failure("input", "ValueError: no"))
        end = {"done": True, "error": "ValueError: no", "kind": "input"}
        assert await events(queue, "a", 1) == [end]
        assert await queue.running() == []

    run(scenario)


def test_a_failed_job_submitted_again_starts_from_its_first_event() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.take("g1")
        await queue.report("a", {"epoch": 1})
        await queue.finish("a", {}, Failure("input", "ValueError: no"))
        await queue.submit(job("a"))
        assert await queue.next_event("a", 0) is None
        assert await queue.take("g2") == job("a")
        await queue.report("a", {"epoch": 7})
        assert await events(queue, "a", 1) == [{"epoch": 7}]

    run(scenario)


def test_a_stopped_job_whose_worker_died_is_not_tried_again_and_is_no_failure() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.take("g1")
        await queue.stop("a")
        assert await queue.take("g1") == AGAIN
        assert await queue.running() == []

    run(scenario, retries=5)


def test_a_worker_that_comes_back_late_is_asked_to_stop() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.take("g1")
        await queue.finish("a", {"seconds": 1.0}, None)
        await queue.finish("a", {"seconds": 2.0}, None)  # another one, cut off meanwhile
        assert await events(queue, "a", 2) == [{"seconds": 1.0}, {"done": True, "error": None}]
        await queue.stop("a")
        assert not await queue.stage("a", "encoding")
        assert not await queue.report("a", {"epoch": 3})
        await queue.set_failure_reason("a", "too late")
        await queue.finish("a", {"seconds": 2.0}, None)
        assert await queue.running() == []

    run(scenario)


def test_the_job_of_a_group_that_ended_for_good_fails() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.submit(job("b"))
        await queue.take("g1")
        await queue.lose_worker_group("g1", "group g1 ended")
        assert (await queue.next_event("a", 0))["error"] == "group g1 ended"
        assert (await queue.next_event("b", 0))["error"] == "group g1 ended"
        await queue.submit(job("c"))
        assert (await queue.next_event("c", 0))["error"] == "group g1 ended"

    run(scenario)


def test_a_worker_without_progress_is_named_once_and_its_trial_tried_again() -> None:
    worker = Worker("a-node", 4711)

    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(replace(job("a"), stall_timeout=0.05))
        await queue.submit(replace(job("b"), stall_timeout=60.0))
        assert (await queue.take("group-0", worker)).trial_id == "a"
        assert (await queue.take("group-1", worker)).trial_id == "b"
        assert await queue.stuck() == []
        await asyncio.sleep(0.03)
        await queue.stage("a", "finetuning")  # a sign of life
        await asyncio.sleep(0.03)
        assert await queue.stuck() == []
        await asyncio.sleep(0.03)
        assert await queue.stuck() == [Stuck("a", "a-node", 4711)]
        assert await queue.stuck() == []
        assert (await queue.take("group-0", worker)).trial_id == "a"
        assert await queue.stuck() == []
        assert await queue.take("group-0", worker) == AGAIN  # died twice: it has failed
        [last] = await events(queue, "a", 1)
        assert "no progress for 0.0 min at finetuning" in last["error"]
        assert last["kind"] == "stalled"

    run(scenario)


def test_the_job_of_a_dead_node_goes_to_the_next_group_that_asks() -> None:
    async def scenario(queue: TrialQueue) -> None:
        for name in "abc":
            await queue.submit(job(name))
        await queue.take("g1", Worker("dead-node", 1))
        await queue.take("g2", Worker("live-node", 2))
        await queue.nodes_died(["dead-node", "another"])
        assert [one["trial_id"] for one in await queue.running()] == ["b"]
        await queue.finish("b", {}, None)
        assert (await queue.take("g2", Worker("live-node", 2))).trial_id == "a"
        await queue.nodes_died(["dead-node"])  # told again: it is elsewhere now
        assert [one["group"] for one in await queue.running()] == ["g2"]
        assert (await queue.take("g1", Worker("new-node", 3))).trial_id == "c"

    run(scenario)


def test_stopped_jobs_of_a_dead_node_end_all_at_once() -> None:
    async def scenario(queue: TrialQueue) -> None:
        for number in range(3):
            await queue.submit(job(f"a{number}"))
            await queue.take(f"g{number}", Worker("dead-node", number))
            await queue.stop(f"a{number}")
        await queue.nodes_died(["dead-node"])
        assert list(queue._jobs) == []

    run(scenario)


def test_a_job_whose_nodes_die_too_often_fails() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        for node in ("first", "second"):
            await queue.take(f"group-{node}", Worker(node, 1))
            await queue.nodes_died([node])
        [done] = await events(queue, "a", 1)
        assert "died 2 times (its node died)" in done["error"]
        assert done["kind"] == "worker-lost"
        assert await queue.take("group-third") == AGAIN

    run(scenario)


def test_a_stuck_worker_whose_group_does_not_come_back_loses_its_job_to_another(
    monkeypatch,
) -> None:
    monkeypatch.setattr(trial_queue, "RESTART_GRACE_SECONDS", 0.05)

    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(replace(job("a"), stall_timeout=0.05))
        await queue.take("g1", Worker("a-node", 4711))
        await asyncio.sleep(0.1)
        assert await queue.stuck() == [Stuck("a", "a-node", 4711)]
        assert await queue.take("g2") == AGAIN
        await asyncio.sleep(0.1)
        assert await queue.stuck() == []
        assert (await queue.take("g2")).trial_id == "a"

    run(scenario)


def test_a_trial_that_ends_after_all_although_named_as_stuck_is_not_begun_again(
    monkeypatch,
) -> None:
    monkeypatch.setattr(trial_queue, "RESTART_GRACE_SECONDS", 0.02)

    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(replace(job("a"), stall_timeout=0.02))
        await queue.take("g1", Worker("a-node", 4711))
        await asyncio.sleep(0.05)
        assert len(await queue.stuck()) == 1
        await queue.finish("a", {}, None)
        await asyncio.sleep(0.05)
        assert await queue.stuck() == []
        assert await queue.take("g2") == AGAIN

    run(scenario)
