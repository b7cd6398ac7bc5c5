"""The queue between trials and worker groups, as a plain object: no Ray is started."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cluster import trial_queue
from orchestrator.cluster.jobs import AGAIN, END, Job, Stuck, Worker
from orchestrator.cluster.trial_queue import TrialQueue
from trainables.exceptions import Failure

ROOT = Path(__file__).parents[3]
Scenario = Callable[[TrialQueue], Awaitable[None]]


@pytest.fixture(autouse=True)
def short_polls(monkeypatch) -> None:
    monkeypatch.setattr(trial_queue, "POLL_SECONDS", 0.05)


def job(name: str, shard: str = "nsd-subj01") -> Job:
    return Job(name, "{}", (shard,))


def run(scenario: Scenario, retries: int = 1) -> None:
    async def start() -> None:
        await scenario(TrialQueue(retries))

    asyncio.run(start())


async def events(queue: TrialQueue, trial_id: str, n: int) -> list[dict]:
    return [await queue.next_event(trial_id, number) for number in range(n)]


def test_a_job_is_handed_out_once() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        assert await queue.take("g1") == job("a")
        assert await queue.take("g2") == AGAIN

    run(scenario)


def test_jobs_are_handed_out_in_the_order_they_came() -> None:
    async def scenario(queue: TrialQueue) -> None:
        for name in "abc":
            await queue.submit(job(name))
        assert [(await queue.take(g)).trial_id for g in ("g1", "g2", "g3")] == ["a", "b", "c"]

    run(scenario)


def test_a_group_that_waits_gets_a_job_as_soon_as_it_comes(monkeypatch) -> None:
    monkeypatch.setattr(trial_queue, "POLL_SECONDS", 60)

    async def scenario(queue: TrialQueue) -> None:
        waiting = asyncio.create_task(queue.take("g1"))
        await asyncio.sleep(0)
        await queue.submit(job("a"))
        assert await asyncio.wait_for(waiting, 5) == job("a")

    run(scenario)


def test_jobs_of_the_subject_that_a_group_holds_go_first() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a", "nsd-subj01"))
        await queue.take("g1")
        await queue.finish("a", {}, None)
        await queue.submit(job("b", "nsd-subj02"))
        await queue.submit(job("c", "nsd-subj01"))
        assert (await queue.take("g1")).trial_id == "c"
        assert (await queue.take("g1")).trial_id == "c"  # it came back: c again
        assert (await queue.take("g2")).trial_id == "b"

    run(scenario)


def test_a_group_that_holds_nothing_of_what_waits_takes_what_the_fewest_hold() -> None:
    async def scenario(queue: TrialQueue) -> None:
        for name, subject in (("a", 1), ("b", 1), ("c", 2), ("d", 1), ("e", 2)):
            await queue.submit(job(name, f"nsd-subj0{subject}"))
        taken = [(await queue.take(group)).trial_id for group in ("g1", "g2", "g3", "g4")]
        assert taken == ["a", "c", "b", "e"]

    run(scenario)


def test_a_job_of_subjects_that_a_group_holds_all_of_goes_before_one_that_reads_more() -> None:
    async def scenario(queue: TrialQueue) -> None:
        subjects = ("nsd-subj01", "nsd-subj02")
        await queue.submit(Job("pooled", "{}", subjects))
        await queue.take("g1")
        await queue.finish("pooled", {}, None)
        await queue.submit(Job("elsewhere", "{}", ("nsd-subj03",)))
        await queue.submit(Job("half", "{}", ("nsd-subj02", "nsd-subj03")))
        await queue.submit(Job("second", "{}", ("nsd-subj02",)))
        await queue.submit(Job("again", "{}", subjects))
        taken = []
        for _ in range(4):
            taken.append((await queue.take("g1")).trial_id)
            await queue.finish(taken[-1], {}, None)
        # After "second" both subjects are still held; "half" then clears it of the first.
        assert taken == ["second", "again", "half", "elsewhere"]

    run(scenario)


def test_what_is_known_of_a_group_s_death_is_in_the_error_of_the_job_that_fails_by_it() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.take("g1")
        await queue.set_failure_reason("a", "worker 1: MemoryError: no")
        await queue.take("g1")
        [end] = await events(queue, "a", 1)
        assert "died 1 times (worker 1: MemoryError: no)" in end["error"]

    run(scenario, retries=0)


def test_a_group_takes_another_subject_rather_than_idle() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a", "nsd-subj01"))
        await queue.take("g1")
        await queue.finish("a", {}, None)
        await queue.submit(job("b", "nsd-subj02"))
        assert (await queue.take("g1")).trial_id == "b"

    run(scenario)


def test_a_job_submitted_twice_is_one() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.submit(job("a"))
        await queue.take("g1")
        await queue.submit(job("a"))
        assert await queue.take("g2") == AGAIN

    run(scenario)


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


def test_events_come_in_order_and_the_last_says_done() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.take("g1")
        reports = [{"epoch": n, "loss": 1 / n, "images_per_second": 9.0} for n in (1, 2)]
        for report in reports:
            assert await queue.report("a", report)
        await queue.finish("a", {"seconds": 3.0}, None)
        end = {"done": True, "error": None}
        assert await events(queue, "a", 4) == [*reports, {"seconds": 3.0}, end]

    run(scenario)


def test_an_event_is_given_again_to_who_asks_again() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.take("g1")
        await queue.report("a", {"epoch": 1})
        assert await events(queue, "a", 1) == await events(queue, "a", 1)

    run(scenario)


def test_who_asks_for_an_event_too_early_is_asked_to_ask_again() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        assert await queue.next_event("a", 0) is None

    run(scenario)


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


def test_a_waiting_job_that_is_stopped_is_never_handed_out() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.stop("a")
        assert await queue.take("g1") == AGAIN

    run(scenario)


def test_a_running_job_that_is_stopped_hears_it_at_its_next_report_and_stage() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.take("g1")
        assert await queue.stage("a", "finetuning")
        assert await queue.report("a", {"epoch": 1})
        await queue.stop("a")
        assert not await queue.report("a", {"epoch": 2})
        assert not await queue.stage("a", "encoding")

    run(scenario)


def test_a_stopped_job_whose_worker_died_is_not_tried_again_and_is_no_failure() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.take("g1")
        await queue.stop("a")
        assert await queue.take("g1") == AGAIN
        assert await queue.running() == []

    run(scenario, retries=5)


def test_jobs_that_have_ended_are_forgotten_when_their_listeners_leave() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.stop("never")
        for number in range(50):
            await queue.submit(job(f"a{number}"))
            await queue.take("g1")
            await queue.finish(f"a{number}", {"seconds": 1.0}, None)
            await queue.stop(f"a{number}")
        assert queue._entries == {}

    run(scenario)


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


def test_closing_ends_groups_that_wait_and_groups_that_ask_later(monkeypatch) -> None:
    monkeypatch.setattr(trial_queue, "POLL_SECONDS", 60)

    async def scenario(queue: TrialQueue) -> None:
        waiting = asyncio.create_task(queue.take("g1"))
        await asyncio.sleep(0)
        await queue.close()
        assert await asyncio.wait_for(waiting, 5) == END
        assert await queue.take("g2") == END

    run(scenario)


def test_a_closed_queue_hands_out_nothing_that_still_waits() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.close()
        assert await queue.take("g1") == END

    run(scenario)


def test_running_jobs_are_listed_with_their_group_stage_and_last_report() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        await queue.submit(job("b"))
        assert await queue.running() == []
        await queue.take("g1")
        await queue.stage("a", "finetuning")
        await queue.report("a", {"epoch": 3, "loss": 0.5, "images_per_second": 80.0})
        assert await queue.running() == [
            {
                "trial_id": "a",
                "group": "g1",
                "stage": "finetuning",
                "epoch": 3,
                "loss": 0.5,
                "retrieval_top1": None,
                "images_per_second": 80.0,
            }
        ]

    run(scenario)


def test_two_groups_never_work_on_one_job_whatever_the_order_of_calls() -> None:
    async def serve(queue: TrialQueue, group: str, done: list[str]) -> None:
        while (got := await queue.take(group)) != END:
            if got != AGAIN:
                await queue.report(got.trial_id, {"epoch": 1})
                await asyncio.sleep(0)
                done.append(got.trial_id)
                await queue.finish(got.trial_id, {}, None)

    async def scenario(queue: TrialQueue) -> None:
        done: list[str] = []
        groups = [asyncio.create_task(serve(queue, f"g{n}", done)) for n in range(4)]
        names = [f"t{n}" for n in range(40)]
        for n, name in enumerate(names):
            await queue.submit(job(name, f"nsd-subj0{n % 3}"))
        while len(done) < len(names):
            await asyncio.sleep(0.001)
        await queue.close()
        await asyncio.gather(*groups)
        assert sorted(done) == sorted(names)

    run(scenario)


def test_jobs_that_train_the_same_checkpoint_run_one_after_another() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(Job("a", "{}", ("nsd-subj01",), "same"))
        await queue.submit(Job("b", "{}", ("nsd-subj01",), "same"))
        await queue.submit(Job("c", "{}", ("nsd-subj01",), "other"))
        assert (await queue.take("g1")).trial_id == "a"
        assert (await queue.take("g2")).trial_id == "c"
        await queue.finish("c", {}, None)
        assert await queue.take("g2") == AGAIN
        await queue.finish("a", {}, None)
        assert (await queue.take("g2")).trial_id == "b"

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


def awaiting_job(name: str) -> Job:
    return Job(name, "{}", ("nsd-subj01",), awaits_scheduler=True)


def test_a_scheduled_job_waits_until_its_listener_asks_for_the_next_event(monkeypatch) -> None:
    monkeypatch.setattr(trial_queue, "POLL_SECONDS", 60)

    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(awaiting_job("a"))
        await queue.take("g1")
        report = asyncio.create_task(queue.report("a", {"epoch": 1}))
        assert await queue.next_event("a", 0) == {"epoch": 1}
        await asyncio.sleep(0.05)
        assert not report.done()
        following = asyncio.create_task(queue.next_event("a", 1))
        assert await asyncio.wait_for(report, 5)
        following.cancel()

    run(scenario)


def test_a_scheduled_job_that_is_stopped_frees_its_worker_at_that_very_report(monkeypatch) -> None:
    monkeypatch.setattr(trial_queue, "POLL_SECONDS", 60)

    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(awaiting_job("a"))
        await queue.submit(awaiting_job("b"))
        await queue.take("g1")
        report = asyncio.create_task(queue.report("a", {"epoch": 1}))
        assert await queue.next_event("a", 0) == {"epoch": 1}
        await queue.stop("a")
        assert not await asyncio.wait_for(report, 5)
        await queue.finish("a", {"seconds": 1.0}, None)
        assert (await asyncio.wait_for(queue.take("g1"), 5)).trial_id == "b"

    run(scenario)


def test_a_scheduled_job_goes_on_when_nobody_listens_for_long(monkeypatch) -> None:
    monkeypatch.setattr(trial_queue, "DECISION_SECONDS", 0.02)

    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(awaiting_job("a"))
        await queue.take("g1")
        assert await asyncio.wait_for(queue.report("a", {"epoch": 1}), 5)

    run(scenario)


def test_grafanas_panels_ask_for_metrics_that_there_are() -> None:
    dashboard = json.loads((ROOT / "clusters" / "grafana-sweep.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    source = (ROOT / "orchestrator" / "cluster" / "queue_metrics.py").read_text()
    names = {name for expression in asked for name in re.findall(r"ray_(sweep_\w+)", expression)}
    assert len(names) == 5
    for name in names:
        assert f'"{name.removesuffix("_total")}"' in source


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
