"""The guess of a group's next job: what the group gets if nothing else happens."""

import pytest

from orchestrator.cluster.jobs import Job
from orchestrator.cluster.trial_queue import TrialQueue
from tests.builders.queue_scenario import job, run

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
