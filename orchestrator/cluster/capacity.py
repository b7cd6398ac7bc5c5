"""How many trials run at once: by the processors, GPUs and memory that the cluster has.

Trials share a GPU only where its memory holds them all, by their sizes and before anything runs.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.cli.errors import InputError
from orchestrator.cluster.autoscaling import NodeType, grown, node_types
from orchestrator.cluster.worker_resources import WorkerResources

CPUS_FOR_READING: Final = 1.0
"""Left to Ray Data's tasks, the queue and this process, which use one without asking for it."""


@dataclass(frozen=True)
class WorkerGroupSize:
    """The resources of one group: of each of its workers, and how many there are."""

    cpus: float = 1.0
    gpus: float = 0.0
    workers: int = 1

    def fits(self, resources: Mapping[str, float]) -> int:
        """Count the groups that a cluster's resources hold, beside Ray Data's reading."""
        free_cpus = resources.get("CPU", 0.0) - CPUS_FOR_READING
        by_cpu = int((free_cpus + 1e-6) // (self.cpus * self.workers))
        if self.gpus == 0:
            return max(0, by_cpu)
        by_gpu = int((resources.get("GPU", 0.0) + 1e-6) // (self.gpus * self.workers))
        return max(0, min(by_cpu, by_gpu))

    def fits_when_grown(self, types: Sequence[NodeType]) -> int:
        """Count the groups on all nodes that an autoscaler may start; no worker spans two nodes."""
        return sum(one.at_most * self._on_node(one.resources) for one in types) // self.workers

    def _on_node(self, resources: Mapping[str, float]) -> int:
        by_cpu = int((resources.get("CPU", 0.0) + 1e-6) // self.cpus)
        by_gpu = int((resources.get("GPU", 0.0) + 1e-6) // self.gpus) if self.gpus else by_cpu
        return min(by_cpu, by_gpu)

    def missing(self, resources: Mapping[str, float]) -> str:
        """Say what one group needs and what the cluster has."""
        need = f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")
        cure = "Lower --cpus-per-trial or --gpus-per-trial"
        if self.workers > 1:
            need = f"{self.workers} workers of {need} each"
            cure = "Lower --workers-per-trial, --cpus-per-trial or --gpus-per-trial"
        has = f"{resources.get('CPU', 0):g} CPU and {resources.get('GPU', 0):g} GPU"
        return (
            f"a trial needs {need}, and reading {CPUS_FOR_READING:g} CPU more; "
            f"this Ray cluster has {has}. {cure}, or give the cluster more"
        )


GIB: Final = 2**30
CONTEXT: Final = GIB // 2
"""Bytes that a process takes of a GPU for its libraries, whatever it computes."""
USABLE: Final = 0.95
"""Of a GPU's memory: the rest is the driver's, and lost between blocks."""
MAX_TRIALS_PER_GPU: Final = 4
"""Trials that share a GPU when asked to pack: they take turns at its arithmetic."""
SLIVER: Final = 0.01
"""Of a GPU: what asking for its memory takes."""
NOT_SHARED: Final = (
    "--share-gpus: no GPU could be asked for its memory yet, so each serves one trial; give the "
    "share yourself, as --gpus-per-trial 0.5"
)
ANSWER_SECONDS: Final = 120.0
"""For a GPU to tell its memory: its node may be starting Python for the first time."""


@dataclass(frozen=True)
class WorkerGroups:
    """The worker groups of a sweep."""

    size: WorkerGroupSize
    n: int
    note: str | None = None
    """What to tell of their number, where memory has decided it."""


def size_worker_groups(asked: WorkerResources, n_waiting: int, largest: int) -> WorkerGroups:
    """Decide on the worker groups: their size, and how many there are.

    n_waiting: trials to run. largest: bytes that the largest of them needs. Where the cluster is
    scaled by need, groups wait for the nodes that it may yet start. Raises InputError, with what
    is missing, when not one fits, or those that are to share a GPU don't fit it together.
    """
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    types = node_types() if os.environ.get("RAY_ADDRESS") else []
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
    """Leave out groups that a cluster's memory, where it is known, does not hold by CPUs alone."""
    n_fit = max(1, memory // (largest * groups.size.workers)) if memory else groups.n
    if n_fit >= groups.n:
        return groups
    note = (
        f"{n_fit} at once where {groups.n} have a CPU: one needs up to {largest / GIB:.1f} GiB of "
        f"memory, and Ray has {memory / GIB:.1f} GiB; --max-concurrent {groups.n} runs more"
    )
    return WorkerGroups(groups.size, n_fit, note)


def share_of_gpu(asked: float | None, largest: int, memory: int | None) -> float:
    """Check the share of a GPU that each trial takes, or choose it.

    asked: a share below 1; None: the smallest that memory allows, down to a quarter. largest:
    bytes of the largest trial. memory: bytes of a GPU; None: it can't be asked, as where no node
    with one is up yet. Raises InputError when so many trials don't fit together.
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
    """Ask each node for the memory of its GPUs; return the least, None where none answers."""
    # A process holds a little of the GPU while it lives: it ends after the call.
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
