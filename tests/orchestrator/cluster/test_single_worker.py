"""A worker group of one worker: its device, and when its process is restarted or given up."""

import os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch

from orchestrator.cluster import single_worker
from orchestrator.cluster.assigned_device import assigned_device
from orchestrator.cluster.capacity import WorkerGroupSize
from orchestrator.cluster.job_runner import run_jobs
from orchestrator.cluster.jobs import Job
from orchestrator.cluster.queue_actor import start_queue
from orchestrator.cluster.single_worker import (
    RESTART,
    GroupWorker,
    SingleWorkerGroup,
)
from tests.builders.queue_scenario import Ends
from trainables.spec import Trial, Untuned


def assign(monkeypatch: pytest.MonkeyPatch, gpus: list[str], visible: str | None) -> None:
    """Pretend that Ray has assigned GPUs to this process."""
    context = SimpleNamespace(get_accelerator_ids=lambda: {"GPU": gpus})
    monkeypatch.setattr(single_worker.ray, "get_runtime_context", lambda: context)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)


@pytest.mark.parametrize(
    ("gpus", "visible", "expected"),
    [
        ([], None, "cpu"),
        ([], "0,1", "cpu"),  # with --gpus-per-trial 0, Ray hides no GPU
        (["3"], "3", "cuda:0"),
        (["3"], "0,1,2,3", "cuda:3"),
        (["GPU-8a1b"], "GPU-77c0,GPU-8a1b", "cuda:1"),
    ],
)
def test_a_worker_uses_the_gpu_that_ray_assigned(monkeypatch, gpus, visible, expected) -> None:
    assign(monkeypatch, gpus, visible)
    assert assigned_device() == torch.device(expected)


@pytest.mark.parametrize("visible", [None, "0,1"])
def test_a_gpu_that_is_not_visible_is_refused(monkeypatch, visible) -> None:
    assign(monkeypatch, ["3"], visible)
    with pytest.raises(
        ValueError, match=f"assigned GPU 3 .* CUDA_VISIBLE_DEVICES is '{visible or ''}'"
    ):
        assigned_device()


def test_a_worker_that_cannot_go_on_ends_its_process(monkeypatch) -> None:
    class Ended(BaseException):
        pass

    def end(code: int) -> None:
        raise Ended(code)

    def fail(*arguments: Any) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    assign(monkeypatch, [], None)
    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(Ended) as ended:
        GroupWorker(fail).serve(None, "group-0")
    assert ended.value.args == (RESTART,)


class Dead(SingleWorkerGroup):
    """A group whose workers die at once; it notes how many there were."""

    n = 0

    def _start(self) -> Any:
        self.n += 1
        serve = SimpleNamespace(remote=lambda queue, group: None)
        return SimpleNamespace(serve=serve)


@pytest.mark.parametrize(
    ("restarts", "is_ended", "n", "is_lost"),
    [(0, False, 1, True), (3, False, 4, True), (3, True, 1, False)],
)
def test_a_group_is_lost_after_too_many_deaths_but_not_by_its_own_end(
    monkeypatch, restarts, is_ended, n, is_lost
) -> None:
    def die(answer: Any) -> None:
        if is_ended:
            group.end()
        raise ray.exceptions.RayActorError

    killed: list[Any] = []
    monkeypatch.setattr(single_worker.ray, "get", die)
    monkeypatch.setattr(single_worker.ray, "kill", killed.append)
    group = Dead(None, lambda device, process_group: None, WorkerGroupSize(), "g", restarts)
    with pytest.raises(ray.exceptions.RayActorError) if is_lost else nullcontext():
        group.run()
    assert group.n == n
    assert len(killed) == n + is_ended


class Dying:
    """A runner whose process dies at its first trial."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker
        self.held: frozenset[str] = frozenset()

    def __call__(self, device: torch.device, process_group: Any) -> "Dying":
        return self

    def run(self, trial: Any, listener: Any) -> Any:
        if not self.marker.exists():
            self.marker.touch()
            os._exit(9)
        return SimpleNamespace(seconds={})


class Unreadable(Dying):
    """A runner that can't be unpickled, as where a module is missing."""

    def __reduce__(self) -> Any:
        return (Unreadable._fail, ())

    @staticmethod
    def _fail() -> None:
        raise ModuleNotFoundError("No module named 'timm'")


def job() -> Job:
    from benchmarks.overhead import roi

    trial = Trial(Untuned(), (roi(0),))
    return Job(trial.id, trial.to_json(), trial.shards)


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_dead_worker_is_restarted_and_one_that_cannot_start_is_lost(
    local_ray: str, tmp_path: Path
) -> None:
    from orchestrator.cluster.worker_groups import warm_worker_groups

    ends, size, scratch = Ends(), WorkerGroupSize(), str(tmp_path)
    for runner in (Dying(tmp_path / "died"), Unreadable(tmp_path)):
        queue = start_queue(1, 1)
        with warm_worker_groups(queue, runner, size, 1, scratch):
            run_jobs([job()], queue, ends, concurrent=2, retries=0)
    assert (tmp_path / "died").exists()
    [(_, none), (_, failure)] = ends.seen
    assert none is None
    assert failure is not None
    assert failure.kind == "worker-lost"
    assert failure.message.startswith("worker group group-0 ended: ")
    assert failure.message.strip().endswith("No module named 'timm'")
