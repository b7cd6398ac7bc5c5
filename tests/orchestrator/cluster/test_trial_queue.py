"""The queue between trials and worker groups, as a plain object: no Ray is started."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from orchestrator.cluster import trial_queue
from orchestrator.cluster.jobs import AGAIN, End, Job
from orchestrator.cluster.trial_queue import TrialQueue
from tests.builders.queue_scenario import events, job, run
from trainables.exceptions import Failure

pytestmark = pytest.mark.usefixtures("short_polls")

ROOT = Path(__file__).parents[3]


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
        held = {"nsd-subj01", "nsd-subj07"}
        assert (await queue.take("g1", held=held)).trial_id == "c"
        assert (await queue.take("g1")).trial_id == "c"  # it came back: c again
        assert (await queue.take("g2")).trial_id == "b"

    run(scenario)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ((), "b"),  # a new process, which holds nothing of what the old one did
        ({"nsd-subj01"}, "d"),
        ({"nsd-subj01", "nsd-subj02"}, "c"),  # kept from an earlier trial
    ],
)
def test_a_group_holds_what_it_says_whatever_its_jobs_were(held, expected) -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a", "nsd-subj01"))
        await queue.take("g1")
        await queue.finish("a", {}, None)
        for name, subject in (("b", 3), ("c", 2), ("d", 1)):
            await queue.submit(job(name, f"nsd-subj0{subject}"))
        assert (await queue.take("g1", held=held)).trial_id == expected

    run(scenario)


def test_a_lost_group_holds_nothing() -> None:
    async def scenario(_: TrialQueue) -> None:
        queue = TrialQueue(0, n_worker_groups=2)
        await queue.submit(job("a", "nsd-subj01"))
        await queue.take("g1")
        await queue.lose_worker_group("g1", "gone")
        await queue.submit(job("b", "nsd-subj01"))
        await queue.submit(job("c", "nsd-subj02"))
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
            taken.append((await queue.take("g1", held=subjects)).trial_id)
            await queue.finish(taken[-1], {}, None)
        assert taken == ["second", "again", "half", "elsewhere"]

    run(scenario)


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


def test_jobs_that_have_ended_are_forgotten_when_their_listeners_leave() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.stop("never")
        for number in range(50):
            await queue.submit(job(f"a{number}"))
            await queue.take("g1")
            await queue.finish(f"a{number}", {"seconds": 1.0}, None)
            await queue.stop(f"a{number}")
        assert list(queue._jobs) == []

    run(scenario)


def test_the_ends_of_jobs_are_given_once_and_as_soon_as_there_are_any(monkeypatch) -> None:
    monkeypatch.setattr(trial_queue, "POLL_SECONDS", 60)
    failure = Failure("input", "ValueError: no")

    async def scenario(queue: TrialQueue) -> None:
        ends = asyncio.create_task(queue.exchange([job("a"), job("b"), job("c")]))
        await asyncio.sleep(0)
        assert [(await queue.take(group)).trial_id for group in ("g1", "g2")] == ["a", "b"]
        await queue.finish("b", {}, failure)
        assert await asyncio.wait_for(ends, 5) == [End("b", failure)]
        await queue.finish("a", {"seconds": 1.0}, None)
        assert await queue.exchange([job("b")]) == [End("a", None)]
        assert [one.job.trial_id for one in queue._jobs] == ["c", "b"]
        await queue.lose_worker_group("g1", "gone")
        lost = Failure("worker-lost", "gone")
        assert await queue.exchange([]) == [End("c", lost), End("b", lost)]
        assert await queue.exchange([job("d")]) == [End("d", lost)]

    run(scenario)


def test_no_ends_are_an_empty_list_in_time() -> None:
    async def scenario(queue: TrialQueue) -> None:
        assert await queue.exchange([job("a")]) == []

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


def test_grafanas_panels_ask_for_metrics_that_there_are() -> None:
    dashboard = json.loads((ROOT / "clusters" / "grafana-sweep.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    source = (ROOT / "orchestrator" / "cluster" / "queue_metrics.py").read_text()
    names = {name for expression in asked for name in re.findall(r"ray_(sweep_\w+)", expression)}
    assert len(names) == 5
    for name in names:
        assert f'"{name.removesuffix("_total")}"' in source
