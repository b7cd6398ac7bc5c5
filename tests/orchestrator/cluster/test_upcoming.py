"""The guess of a group's next job: what the group gets if nothing else happens."""

import pytest

from orchestrator.cluster.jobs import Job, Worker
from orchestrator.cluster.trial_queue import TrialQueue
from tests.builders.queue_scenario import Scenario, job, run

pytestmark = pytest.mark.usefixtures("short_polls")

WAITING = {
    "of-two": ("nsd-subj01", "nsd-subj02"),
    "third": ("nsd-subj03",),
    "second": ("nsd-subj02",),
    "first": ("nsd-subj01",),
    "fourth": ("nsd-subj04",),
}


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ((), "second"),  # the first that no group holds
        (("nsd-subj01",), "first"),
        (("nsd-subj02", "nsd-subj01"), "second"),  # which fewer groups hold
        (("nsd-subj03", "nsd-subj04"), "fourth"),
    ],
)
def test_the_job_that_is_guessed_is_the_one_that_is_given_if_nothing_else_happens(
    held, expected
) -> None:
    async def scenario(queue: TrialQueue) -> None:
        for number, subject in enumerate((1, 1, 3)):
            await queue.submit(job(f"elsewhere-{number}", f"nsd-subj0{subject}"))
            await queue.take(f"other-{number}")
        await queue.submit(job("now"))
        await queue.take("g1")
        for name, shards in WAITING.items():
            await queue.submit(Job(name, "{}", shards))
        guess = await queue.upcoming("now", held)
        assert guess is not None
        await queue.finish("now", {}, None)
        given = await queue.take("g1", held=held)
        assert given == guess
        assert given.trial_id == expected

    run(scenario)


def test_a_job_that_waits_for_the_running_one_to_train_is_guessed_after_it() -> None:
    async def scenario(queue: TrialQueue) -> None:
        for name in "abc":
            await queue.submit(Job(name, "{}", ("nsd-subj01",), "other" if name == "c" else "same"))
        await queue.take("g1")
        assert (await queue.upcoming("a", ())).trial_id == "b"
        await queue.finish("a", {}, None)
        assert (await queue.take("g1")).trial_id == "b"
        assert (await queue.upcoming("b", ())).trial_id == "c"

    run(scenario)


def test_a_guess_reserves_nothing_and_none_is_made_where_nothing_waits() -> None:
    async def scenario(queue: TrialQueue) -> None:
        await queue.submit(job("a"))
        assert await queue.upcoming("a", ()) is None  # it does not run
        await queue.take("g1")
        assert await queue.upcoming("a", ()) is None
        await queue.submit(job("b"))
        for _ in range(2):
            assert await queue.upcoming("a", ()) == job("b")
        assert await queue.take("g2") == job("b")
        assert await queue.upcoming("a", ()) is None
        assert await queue.upcoming("never", ()) is None

    run(scenario)


GROUPS = ("g1", "g2", "g3", "g4")


def with_waiting(jobs: str, scenario: Scenario) -> None:
    """Run a scenario in which each group runs a job of one subject, and more of it wait."""

    async def start(queue: TrialQueue) -> None:
        for group in GROUPS:
            await queue.submit(job(f"now-{group}"))
            await queue.take(group)
        for name in jobs:
            await queue.submit(job(name))
        await scenario(queue)

    run(start)


async def guessed(queue: TrialQueue, *groups: str) -> list[str | None]:
    guesses = [await queue.upcoming(f"now-{group}", ()) for group in groups]
    return [guess and guess.trial_id for guess in guesses]


async def following(queue: TrialQueue, group: str) -> str:
    """End a group's job; return the next one."""
    await queue.finish(f"now-{group}", {}, None)
    return (await queue.take(group)).trial_id


def test_each_group_has_a_guess_of_its_own_and_gets_it_in_whatever_order_they_end() -> None:
    async def scenario(queue: TrialQueue) -> None:
        assert await guessed(queue, *GROUPS, *GROUPS) == [*"abcd", *"abcd"]
        taken = [await following(queue, group) for group in reversed(GROUPS)]
        assert taken == [*"dcba"]

    with_waiting("abcdef", scenario)


def test_a_group_without_a_guess_gets_a_job_that_is_guessed_for_no_other_if_there_is_one() -> None:
    async def scenario(queue: TrialQueue) -> None:
        assert await guessed(queue, "g1", "g2", "g3") == ["a", "b", "c"]
        assert await following(queue, "g4") == "d"
        assert (await queue.take("g5")).trial_id == "a"  # rather than none
        assert await guessed(queue, "g1") == [None]
        await queue.submit(job("e"))
        assert await guessed(queue, "g1", "g2") == ["e", "b"]

    with_waiting("abcd", scenario)


@pytest.mark.parametrize("how", ["its group is lost", "its node died"])
def test_a_guess_for_a_group_that_is_gone_is_free_for_others(how) -> None:
    async def scenario(queue: TrialQueue) -> None:
        queue._n_worker_groups = 2
        await queue.submit(job("now-g1"))
        await queue.take("g1", Worker("node", 1))
        await queue.submit(job("now-g2"))
        await queue.take("g2")
        await queue.submit(job("a"))
        assert await guessed(queue, "g1", "g2") == ["a", None]
        if how == "its group is lost":
            await queue.lose_worker_group("g1", "gone")
            assert await guessed(queue, "g2") == ["a"]
        else:
            await queue.nodes_died(["node"])
            assert await following(queue, "g2") == "now-g1"
            assert await guessed(queue, "g1") == ["a"]  # g2 runs it now

    run(scenario)
