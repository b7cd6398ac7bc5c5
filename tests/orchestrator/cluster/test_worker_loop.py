"""What a worker does with a trial's errors, with a queue that only records its calls."""

import weakref
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray.exceptions import ActorDiedError, ActorUnavailableError

from orchestrator.cluster import worker_loop
from orchestrator.cluster.jobs import Job
from trainables.compute import failures
from trainables.exceptions import Diverged, Failure
from trainables.results.epoch_report import EpochReport
from trainables.spec import Roi, Trial, Untuned
from trainables.training.distributed import SINGLE_PROCESS

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
        self.held = frozenset({"nsd-subj07"})

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


class Holding:
    """A runner whose trial fails, with a tensor in its frame."""

    def __init__(self) -> None:
        self.held: weakref.ref[torch.Tensor] | None = None

    def run(self, trial: Any, listener: Any) -> Any:
        weights = torch.zeros(3)
        self.held = weakref.ref(weights)
        raise ValueError(f"no use for {len(weights)} weights")


def test_the_gpu_memory_of_a_failed_trial_is_returned_once_its_error_is_gone(monkeypatch) -> None:
    is_held: list[bool] = []
    runner = Holding()

    def empty_cache() -> None:
        assert runner.held is not None
        is_held.append(runner.held() is not None)

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", empty_cache)
    monkeypatch.setattr(worker_loop.ray, "get", lambda answer: answer)
    worker_loop._serve_one(runner, Queue(), JOB)  # type: ignore[arg-type]
    assert is_held == [False]


UNREACHABLE = ActorUnavailableError("the connection is lost", None)


class LostQueue:
    """A queue that can't be asked for a job."""

    def __init__(self, error: Exception) -> None:
        self.take = SimpleNamespace(remote=self._take)
        self._error = error

    def _take(self, group: str, worker: Any, held: frozenset[str]) -> Any:
        assert held == {"nsd-subj07"}
        raise self._error


def test_a_worker_starts_anew_where_the_queue_is_out_of_reach_and_ends_where_it_is_gone(
    monkeypatch,
) -> None:
    context = SimpleNamespace(get_node_id=lambda: "node")
    monkeypatch.setattr(worker_loop.ray, "get_runtime_context", lambda: context)
    arguments = ("group-0", Failing(ValueError()), SINGLE_PROCESS)
    with pytest.raises(ActorUnavailableError):
        worker_loop.serve(LostQueue(UNREACHABLE), *arguments)  # type: ignore[arg-type]
    worker_loop.serve(LostQueue(ActorDiedError()), *arguments)  # type: ignore[arg-type]


def test_a_queue_out_of_reach_is_no_failure_of_a_trial(monkeypatch) -> None:
    queue = Queue()
    with pytest.raises(ActorUnavailableError):
        worker_loop._serve_one(Failing(UNREACHABLE), queue, JOB)  # type: ignore[arg-type]
    assert queue.finish.calls == []


@pytest.mark.parametrize("is_any", [True, False])
def test_the_next_trial_is_the_job_that_the_queue_expects_to_give(monkeypatch, is_any) -> None:
    def upcoming(trial_id: str, held: frozenset[str]) -> Job | None:
        assert (trial_id, held) == ("present", {"nsd-subj07"})
        return JOB if is_any else None

    monkeypatch.setattr(worker_loop.ray, "get", lambda answer, timeout: answer)
    queue = SimpleNamespace(upcoming=SimpleNamespace(remote=upcoming))
    listener = worker_loop._Listener(queue, replace(JOB, trial_id="present"))
    assert listener.upcoming(frozenset({"nsd-subj07"})) == (TRIAL if is_any else None)


class ReportQueue:
    """A queue whose answers to reports are known later; reports and waits for them are noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reported: list[int] = []
        self.awaited: list[int] = []
        self.answers: dict[int, bool] = {}
        """By epoch, as far as known."""
        self.seconds = 0.0
        self.report = SimpleNamespace(options=lambda name: SimpleNamespace(remote=self._note))
        monkeypatch.setattr(worker_loop.time, "monotonic", lambda: self.seconds)
        monkeypatch.setattr(worker_loop.ray, "wait", self._wait)
        monkeypatch.setattr(worker_loop.ray, "get", self._get)

    def _note(self, trial_id: str, event: dict[str, Any]) -> int:
        self.reported.append(event["epoch"])
        return event["epoch"]

    def _wait(self, refs: list[int], timeout: float) -> tuple[list[int], list[int]]:
        assert timeout == 0
        known = [ref for ref in refs if ref in self.answers]
        return known, [ref for ref in refs if ref not in known]

    def _get(self, ref: int) -> bool:
        self.awaited.append(ref)
        return self.answers[ref]


def epoch(number: int) -> EpochReport:
    return EpochReport(number, 0.5, 0.1, 100.0)


def test_quick_epochs_are_reported_every_two_seconds_and_never_awaited(monkeypatch) -> None:
    queue = ReportQueue(monkeypatch)
    listener = worker_loop._Listener(queue, JOB)
    for number in range(1, 31):
        assert listener.epoch(epoch(number))
        if number == 12:
            queue.answers[1] = True
        queue.seconds += 0.5
    # The first is answered after the twelfth epoch; until then no other is sent.
    assert (queue.reported, queue.awaited) == ([1, 13], [1])
    queue.answers[13] = True
    assert listener.epoch(epoch(31))
    assert queue.reported == [1, 13, 31]


def test_a_trial_that_is_to_stop_learns_of_it_from_the_answer_to_an_earlier_report(
    monkeypatch,
) -> None:
    queue = ReportQueue(monkeypatch)
    listener = worker_loop._Listener(queue, JOB)
    assert listener.epoch(epoch(1))
    queue.answers[1] = False
    assert not listener.epoch(epoch(2))


def test_each_epoch_that_a_scheduler_decides_on_is_reported_and_awaited(monkeypatch) -> None:
    queue = ReportQueue(monkeypatch)
    queue.answers = {1: True, 2: True, 3: False}
    listener = worker_loop._Listener(queue, replace(JOB, awaits_scheduler=True))
    assert [listener.epoch(epoch(number)) for number in (1, 2, 3)] == [True, True, False]
    assert queue.reported == queue.awaited == [1, 2, 3]
