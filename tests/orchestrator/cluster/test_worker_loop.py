"""What a worker does with a trial's errors, with a queue that only records its calls."""

from typing import Any

import pytest
import torch

from orchestrator.cluster import worker_loop
from orchestrator.cluster.jobs import Job
from trainables.compute import failures
from trainables.exceptions import Diverged, Failure
from trainables.spec import Roi, Trial, Untuned

TRIAL = Trial(Untuned(), (Roi("nsd", "subj01", "lh", "V1v", 8, "0123abcd"),))
JOB = Job(TRIAL.id, TRIAL.to_json(), TRIAL.shards)


class NotedCall:
    """A method of the queue that notes what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def remote(self, *arguments: Any) -> None:
        self.calls.append(arguments)


class Queue:
    """A queue that hears how a job has ended."""

    def __init__(self) -> None:
        self.finish = NotedCall()


class Failing:
    """A runner whose trials fail."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def run(self, trial: Any, listener: Any) -> Any:
        raise self.error


def serve(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Failure:
    queue = Queue()
    monkeypatch.setattr(worker_loop.ray, "get", lambda answer: answer)
    try:
        worker_loop._serve_one(Failing(error), queue, JOB)  # type: ignore[arg-type]
    finally:
        [(trial_id, event, failure)] = queue.finish.calls
    assert (trial_id, event) == (TRIAL.id, {})
    assert isinstance(failure, Failure)
    return failure


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("subj01: no rows; CUDA error in the name of a file"), "input"),
        (Diverged("the loss is not a number"), "diverged"),
        (RuntimeError("a defect"), "unexpected"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out-of-memory"),
        (MemoryError("a matrix"), "out-of-memory"),
    ],
)
def test_a_worker_goes_on_after_a_trial_that_failed_by_itself(monkeypatch, error, kind) -> None:
    failure = serve(monkeypatch, error)
    assert failure.kind == kind
    assert str(error) in failure.message


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("no finite value"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
    ],
)
def test_a_worker_whose_device_failed_starts_anew(monkeypatch, error, is_lost) -> None:
    monkeypatch.setattr(failures, "is_device_lost", lambda: is_lost)
    with pytest.raises(type(error)):
        serve(monkeypatch, error)
