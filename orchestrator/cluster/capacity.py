"""The number of trials that run at once, from the CPUs, GPUs and memory of the cluster.

Trials share a GPU only if its memory fits all of them, as estimated before anything runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.cli.errors import InputError
from orchestrator.cluster.address import cluster_address
from orchestrator.cluster.autoscaling import NodeType, grown, node_types
from orchestrator.cluster.worker_resources import WorkerResources
from trainables.compute.memory import CONTEXT

CPUS_FOR_READING: Final = 1.0
"""CPUs left to Ray Data, the queue and this process, which use them without requesting them."""


@dataclass(frozen=True)
class WorkerGroupSize:
    """The resources of one worker group: those of each worker, and the number of workers."""

    cpus: float = 1.0
    gpus: float = 0.0
    workers: int = 1

    def fits(self, resources: Mapping[str, float]) -> int:
        """Count the groups that fit a cluster's resources, besides Ray Data's reading."""
        free_cpus = resources.get("CPU", 0.0) - CPUS_FOR_READING
        by_cpu = int((free_cpus + 1e-6) // (self.cpus * self.workers))
        if self.gpus == 0:
            return max(0, by_cpu)
        by_gpu = int((resources.get("GPU", 0.0) + 1e-6) // (self.gpus * self.workers))
        return max(0, min(by_cpu, by_gpu))

    def fits_when_grown(self, types: Sequence[NodeType]) -> int:
        """Count the groups that fit all nodes an autoscaler may start, each worker on one node."""
        return sum(one.at_most * self._on_node(one.resources) for one in types) // self.workers

    def _on_node(self, resources: Mapping[str, float]) -> int:
        by_cpu = int((resources.get("CPU", 0.0) + 1e-6) // self.cpus)
        by_gpu = int((resources.get("GPU", 0.0) + 1e-6) // self.gpus) if self.gpus else by_cpu
        return min(by_cpu, by_gpu)

    def missing(self, resources: Mapping[str, float]) -> str:
        """Describe what one group needs and what the cluster has, with the cure."""
        need = f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")
        cure = "Lower --cpus-per-trial or --gpus-per-trial"
        if self.workers > 1:
            need = f"{self.workers} workers of {need} each"
            cure = "Lower --workers-per-trial, --cpus-per-trial or --gpus-per-trial"
        has = f"{resources.get('CPU', 0):g} CPU and {resources.get('GPU', 0):g} GPU"
        return (
            f"a trial needs {need}, and reading data {CPUS_FOR_READING:g} CPU more; "
            f"this Ray cluster has {has}. {cure}, or add nodes to the cluster"
        )


GIB: Final = 2**30
USABLE: Final = 0.95
"""Share of a GPU's memory that is usable; the rest is lost to the driver and to fragmentation."""
MAX_TRIALS_PER_GPU: Final = 4
"""Maximum number of trials that share a GPU with --share-gpus, in time slices."""
SLIVER: Final = 0.01
"""Share of a GPU that the task which reads its memory size reserves."""
NOT_SHARED: Final = (
    "--share-gpus: no GPU's memory size could be read yet, so each GPU runs one trial; give the "
    "share yourself, for example --gpus-per-trial 0.5"
)
ANSWER_SECONDS: Final = 120.0
"""Timeout for reading a GPU's memory size: its node may be starting Python for the first time."""


@dataclass(frozen=True)
class WorkerGroups:
    """The size and number of a sweep's worker groups."""

    size: WorkerGroupSize
    n: int
    note: str | None = None
    """A message about their number, if memory limits it."""


def size_worker_groups(asked: WorkerResources, n_waiting: int, largest: int) -> WorkerGroups:
    """Choose the size and number of the worker groups.

    n_waiting: trials to run. largest: bytes that the largest of them needs. On a cluster with an
    autoscaler, groups wait for the nodes that it may still start. Raises InputError saying what is
    missing if no group fits, or if the trials that are to share a GPU do not fit its memory.
    """
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    types = node_types() if cluster_address() else []
    has_gpu = grown(resources, types).get("GPU", 0.0) > 0
    gpus = asked.gpus if asked.gpus is not None else float(has_gpu)
    note = None
    if has_gpu and (asked.share_gpus or 0 < gpus < 1):
        memory = gpu_memory()
        gpus = share_of_gpu(None if asked.share_gpus else gpus, largest, memory)
        note = (
            NOT_SHARED if asked.share_gpus and memory is None else _describe_sharing(gpus, largest)
        )
    size = WorkerGroupSize(asked.cpus, gpus, asked.workers)
    n_worker_groups = max(size.fits(resources), size.fits_when_grown(types))
    if n_worker_groups == 0:
        raise InputError(size.missing(resources))
    wanted = min(n_worker_groups, asked.max_concurrent or n_worker_groups, n_waiting)
    if gpus or types or asked.max_concurrent:
        return WorkerGroups(size, wanted, note)
    return _within_memory(WorkerGroups(size, wanted), largest, int(resources.get("memory", 0)))


def _describe_sharing(gpus: float, largest: int) -> str | None:
    if not 0 < gpus < 1 or _n_sharing(gpus) == 1:
        return None
    each = (largest + CONTEXT) / GIB
    return f"{_n_sharing(gpus)} trials share a GPU, each of up to {each:.1f} GiB"


def _n_sharing(share: float) -> int:
    return int(1 / share + 1e-6)


def _within_memory(groups: WorkerGroups, largest: int, memory: int) -> WorkerGroups:
    """Limit the number of groups without GPUs to those that fit the cluster's memory, if known."""
    n_fit = max(1, memory // (largest * groups.size.workers)) if memory else groups.n
    if n_fit >= groups.n:
        return groups
    note = (
        f"{n_fit} at once, although CPUs allow {groups.n}: one needs up to {largest / GIB:.1f} GiB "
        f"of memory, Ray has {memory / GIB:.1f} GiB; --max-concurrent {groups.n} overrides this"
    )
    return WorkerGroups(groups.size, n_fit, note)


def share_of_gpu(asked: float | None, largest: int, memory: int | None) -> float:
    """Check or choose the share of a GPU for each trial.

    asked: a share below 1; None: the smallest that memory allows, at least a quarter. largest:
    bytes of the largest trial. memory: bytes of a GPU; None: unknown, as when no node with a GPU
    is up yet. Raises InputError if that many trials do not fit together.
    """
    if memory is None:
        return 1.0 if asked is None else asked
    n_fit = int(USABLE * memory // (largest + CONTEXT))
    if asked is None:
        return 1.0 / max(1, min(MAX_TRIALS_PER_GPU, n_fit))
    n_asked = _n_sharing(asked)
    if n_asked <= max(1, n_fit):
        return asked
    cure = f"--gpus-per-trial {1 / n_fit:.2g}" if n_fit > 1 else "--gpus-per-trial 1"
    raise InputError(
        f"--gpus-per-trial {asked:g}: {n_asked} trials of up to {(largest + CONTEXT) / GIB:.1f} "
        f"GiB would share a GPU of {memory / GIB:.1f} GiB; give {cure}"
    )


def gpu_memory() -> int | None:
    """Return the smallest memory, in bytes, of any node's GPUs; None if no node answers."""
    # A process uses some GPU memory while it lives, so it ends after the call.
    ask = ray.remote(num_cpus=0, num_gpus=SLIVER, max_calls=1)(_memory_of_gpu)
    asked = [
        ask.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote()
        for node in _nodes_with_gpus()
    ]
    try:
        answers = ray.get(asked, timeout=ANSWER_SECONDS)
    except (GetTimeoutError, RayError):
        return None
    return min((memory for memory in answers if memory is not None), default=None)


def _nodes_with_gpus() -> list[Mapping[str, str]]:
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"] and node["Resources"].get("GPU", 0.0) > 0]


def _memory_of_gpu() -> int | None:
    import torch

    if not torch.cuda.is_available():
        return None
    return int(torch.cuda.get_device_properties(0).total_memory)
