"""Jobs without a scheduler: their order, their retries, and what ends them all."""

from collections.abc import Sequence

import pytest
import ray

from orchestrator.cli.errors import InputError
from orchestrator.cluster import job_runner
from orchestrator.cluster.job_runner import QueueLost, run_jobs
from orchestrator.cluster.jobs import End, Job
from tests.builders.queue_scenario import Ends, job
from trainables.exceptions import Failure

INPUT = Failure("input", "ValueError: no")
FULL = Failure("disk-full", "trainables.exceptions.DiskFull: No space left in /runs: 3 MB")
GONE = ray.exceptions.RayActorError()


class Script:
    """A queue whose jobs end at once, each as written; it notes what it is given at each call."""

    def __init__(self, **ends: Sequence[Failure | Exception | None]) -> None:
        self.ends = {name: list(mine) for name, mine in ends.items()}
        self.given: list[list[str]] = []
        self.watcher = Ends()
        self.exchange = self

    def remote(self, jobs: Sequence[Job]) -> list[End]:
        self.given.append([one.trial_id for one in jobs])
        ends = [(one.trial_id, self.ends.get(one.trial_id, [None]).pop(0)) for one in jobs]
        for _, failure in ends:
            if isinstance(failure, Exception):
                raise failure
        return [End(name, failure) for name, failure in ends]  # type: ignore[arg-type]


def run(
    monkeypatch: pytest.MonkeyPatch, queue: Script, names: str, concurrent: int, retries: int = 1
) -> list[tuple[str, Failure | None]]:
    monkeypatch.setattr(job_runner.ray, "get", lambda answer: answer)
    jobs = [job(one) for one in names]
    run_jobs(jobs, queue, queue.watcher, concurrent=concurrent, retries=retries)
    return queue.watcher.seen


def test_jobs_are_submitted_in_order_as_many_at_once_as_the_queue_is_to_hold(monkeypatch) -> None:
    queue = Script()
    assert run(monkeypatch, queue, "abcde", 2) == [(one, None) for one in "abcde"]
    assert queue.given == [["a", "b"], ["c", "d"], ["e"]]


@pytest.mark.parametrize(
    ("retries", "ends", "given"),
    [
        (0, [("a", INPUT), ("b", None)], [["a"], ["b"]]),
        (1, [("a", INPUT), ("b", None)], [["a"], ["a"], ["b"]]),
        (2, [("a", None), ("b", None)], [["a"], ["a"], ["a"], ["b"]]),
    ],
)
def test_a_failed_job_is_tried_again_before_the_next_as_often_as_retries_allow(
    monkeypatch, retries, ends, given
) -> None:
    queue = Script(a=[INPUT, INPUT, None])
    assert run(monkeypatch, queue, "ab", 1, retries) == ends
    assert queue.given == given


def test_a_full_disk_ends_the_run_at_its_first_trial_without_a_retry(monkeypatch) -> None:
    queue = Script(b=[FULL])
    with pytest.raises(InputError, match="would fail too: No space left in /runs: 3 MB"):
        run(monkeypatch, queue, "abc", 1, retries=3)
    assert queue.watcher.seen == [("a", None), ("b", FULL)]
    assert queue.given == [["a"], ["b"]]


def test_a_queue_that_is_gone_is_lost_and_no_failure_of_a_trial(monkeypatch) -> None:
    queue = Script(b=[GONE])
    with pytest.raises(QueueLost, match="the process of the trial queue has ended"):
        run(monkeypatch, queue, "abc", 1)
    assert queue.watcher.seen == [("a", None)]
