"""How many trials run at once: by processors, GPUs and memory, before anything runs."""

import pytest
import ray

from orchestrator.cli.errors import InputError
from orchestrator.cluster import capacity
from orchestrator.cluster.capacity import GIB, share_of_gpu, size_worker_groups
from orchestrator.cluster.worker_resources import WorkerResources
from trainables.compute.memory import CONTEXT


@pytest.fixture
def cluster(monkeypatch):
    """A cluster of given resources, whose GPUs have so much memory."""

    def make(memory_of_gpu: int | None = None, **resources: float) -> None:
        monkeypatch.setattr(capacity.ray, "cluster_resources", lambda: resources)
        monkeypatch.setattr(capacity, "gpu_memory", lambda: memory_of_gpu)

    return make


def asked(cpus=1, gpus=None, workers=1, at_once=None, share_gpus=False) -> WorkerResources:
    return WorkerResources(cpus, gpus, workers, at_once, share_gpus)


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        (8 * GIB, 1 / 4),  # more would fit
        (30 * GIB, 1 / 2),
        (70 * GIB, 1.0),
        (700 * GIB, 1.0),  # it does not fit alone: it is passed in parts
    ],
)
def test_sharing_gpus_shares_a_gpu_as_memory_allows(largest, expected) -> None:
    assert share_of_gpu(None, largest, 80 * GIB) == expected


def test_shares_that_fit_are_taken_as_asked_for() -> None:
    assert share_of_gpu(0.25, 10 * GIB, 80 * GIB) == 0.25
    assert share_of_gpu(0.6, 70 * GIB, 80 * GIB) == 0.6  # one a GPU
    assert share_of_gpu(0.25, 70 * GIB, None) == 0.25  # no GPU can be asked yet


@pytest.mark.parametrize(
    ("largest", "cure"), [(30, "give --gpus-per-trial 0.5"), (50, "give --gpus-per-trial 1")]
)
def test_trials_that_do_not_fit_a_gpu_together_are_refused(largest, cure) -> None:
    with pytest.raises(InputError) as refused:
        share_of_gpu(0.25, largest * GIB - CONTEXT, 80 * GIB)
    assert str(refused.value) == (
        f"--gpus-per-trial 0.25: 4 trials of up to {largest}.0 GiB would share a GPU of 80.0 GiB; "
        + cure
    )


def test_a_gpu_serves_one_trial_unless_more_are_asked_for(cluster) -> None:
    cluster(80 * GIB, CPU=17.0, GPU=2.0)
    one = size_worker_groups(asked(), 100, 8 * GIB)
    assert (one.size.gpus, one.n, one.note) == (1.0, 2, None)
    trials_per_gpu = size_worker_groups(asked(share_gpus=True), 100, 8 * GIB)
    assert (trials_per_gpu.size.gpus, trials_per_gpu.n) == (0.25, 8)
    assert trials_per_gpu.note == "4 trials share a GPU, each of up to 8.5 GiB"
    assert size_worker_groups(asked(gpus=0.5), 3, 8 * GIB).n == 3
    assert size_worker_groups(asked(gpus=0.6), 3, 8 * GIB).note is None  # one a GPU all the same


def test_sharing_gpus_on_gpus_that_cannot_be_asked_is_reported(cluster) -> None:
    cluster(None, CPU=17.0, GPU=2.0)
    groups = size_worker_groups(asked(share_gpus=True), 100, 8 * GIB)
    assert (groups.size.gpus, groups.n) == (1.0, 2)
    assert groups.note is not None
    assert "no GPU's memory size could be read yet" in groups.note


def test_sharing_gpus_without_a_gpu_changes_nothing(cluster) -> None:
    cluster(CPU=5.0)
    groups = size_worker_groups(asked(share_gpus=True), 100, GIB)
    assert (groups.size.gpus, groups.n) == (0.0, 4)


def test_trials_on_cpus_are_no_more_than_memory_holds(cluster) -> None:
    cluster(CPU=17.0, memory=24.0 * GIB)
    groups = size_worker_groups(asked(), 100, 7 * GIB)
    assert groups.n == 3
    assert groups.note == (
        "3 at once, although CPUs allow 16: one needs up to 7.0 GiB of memory, Ray has 24.0 GiB; "
        "--max-concurrent 16 overrides this"
    )
    assert size_worker_groups(asked(at_once=5), 100, 7 * GIB).n == 5
    assert size_worker_groups(asked(workers=2), 100, 7 * GIB).n == 1
    assert size_worker_groups(asked(), 100, 700 * GIB).n == 1  # one is tried, whatever it needs
    assert size_worker_groups(asked(), 2, 7 * GIB).note is None


def test_what_no_group_fits_is_reported(cluster) -> None:
    cluster(CPU=1.0)
    with pytest.raises(InputError, match="a trial needs 1 CPU, and reading data 1 CPU more"):
        size_worker_groups(asked(), 100, GIB)


@pytest.mark.ray
def test_nodes_are_asked_for_the_memory_of_their_gpus(local_ray, monkeypatch) -> None:
    assert capacity.gpu_memory() is None  # no node has a GPU
    monkeypatch.setattr(capacity, "_nodes_with_gpus", ray.nodes)
    monkeypatch.setattr(capacity, "SLIVER", 0)
    monkeypatch.setattr(capacity, "_memory_of_gpu", lambda: 7 * GIB)
    assert capacity.gpu_memory() == 7 * GIB
    monkeypatch.setattr(capacity, "_memory_of_gpu", lambda: None)
    assert capacity.gpu_memory() is None


@pytest.mark.gpu
def test_a_gpu_reports_its_memory() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    assert capacity._memory_of_gpu() == torch.cuda.get_device_properties(0).total_memory
