"""The queue with a scheduler that decides after each report, and as it closes."""

import asyncio
from collections.abc import Awaitable, Hashable
from typing import Any

import pytest

from orchestrator.cluster import trial_queue
from orchestrator.cluster.jobs import AGAIN, END, Job
from orchestrator.cluster.trial_queue import TrialQueue
from orchestrator.cluster.waiters import Waiters
from tests.builders.queue_scenario import job, run

pytestmark = pytest.mark.usefixtures("short_polls")


def test_who_asks_for_an_event_too_early_is_asked_to_ask_again() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        assert await queue.next_event("a", 0) is None

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


def test_a_group_that_waits_gets_the_job_whose_checkpoint_has_become_free(monkeypatch) -> None:
    monkeypatch.setattr(trial_queue, "POLL_SECONDS", 60)

    async def scenario(queue: TrialQueue) -> None:
        for name in "ab":
            await queue.submit(Job(name, "{}", ("nsd-subj01",), "same"))
        await queue.take("g1")
        waiting = [asyncio.create_task(queue.take(group)) for group in ("g2", "g3")]
        await asyncio.sleep(0)
        await queue.finish("a", {}, None)
        [taken], _ = await asyncio.wait(waiting, timeout=5, return_when="FIRST_COMPLETED")
        assert taken.result().trial_id == "b"
        await queue.close()
        assert END in await asyncio.gather(*waiting)

    run(scenario)


def test_a_report_wakes_its_own_listener_and_nobody_else(monkeypatch) -> None:
    monkeypatch.setattr(trial_queue, "POLL_SECONDS", 60)

    async def scenario(queue: TrialQueue) -> None:
        for name in "ab":
            await queue.submit(job(name))
            await queue.take(f"group-{name}")
        calls = {"listener": queue.next_event("a", 0), "other": queue.next_event("b", 0)}
        calls |= {"group": queue.take("g1"), "command": queue.exchange([])}
        waiting = {name: asyncio.create_task(call) for name, call in calls.items()}
        await asyncio.sleep(0)
        await queue.report("a", {"epoch": 1})
        await asyncio.sleep(0.05)
        assert [name for name, task in waiting.items() if task.done()] == ["listener"]
        for task in waiting.values():
            task.cancel()

    run(scenario)


class CountedWaiters(Waiters):
    """Waiters that count how often one of them is woken."""

    def __init__(self) -> None:
        super().__init__()
        self.n_woken = 0

    async def wait(self, what: Hashable, seconds: float) -> None:
        await super().wait(what, seconds)
        self.n_woken += 1


@pytest.mark.parametrize("n", [4, 200])
def test_the_number_of_calls_that_are_woken_does_not_grow_with_the_groups(monkeypatch, n) -> None:
    monkeypatch.setattr(trial_queue, "POLL_SECONDS", 60)
    monkeypatch.setattr(trial_queue, "Waiters", CountedWaiters)

    async def scenario(queue: TrialQueue) -> None:
        waiters: CountedWaiters = queue._waiters
        for number in range(n):
            await queue.submit(job(f"t{number}"))
            await queue.take(f"busy{number}")
        calls = [queue.next_event(f"t{number}", 0) for number in range(n)]
        calls += [queue.take(f"idle{number}") for number in range(n)]
        calls += [queue.exchange([])]
        waiting = [asyncio.create_task(call) for call in calls]
        await asyncio.sleep(0)

        async def n_woken_by(call: Awaitable[Any]) -> int:
            before = waiters.n_woken
            await call
            await asyncio.sleep(0.02)
            return waiters.n_woken - before

        assert await n_woken_by(queue.stage("t0", "finetuning")) == 0
        assert await n_woken_by(queue.report("t0", {"epoch": 1})) == 1  # its listener
        assert await n_woken_by(queue.submit(job("new"))) == 1  # a group that is idle
        assert await n_woken_by(queue.finish("t1", {}, None)) == 2  # its listener, the command
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

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
