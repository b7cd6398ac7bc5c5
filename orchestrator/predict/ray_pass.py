"""Pass images through some backbones on Ray: tasks read them on all CPUs, actors predict them.

There is one actor for each GPU, or for each node of a cluster without GPUs. Ray Data moves the
batches, limits how many wait, and restarts an actor that dies; this process only receives
predictions.
"""

import itertools
import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import ray
import torch

from orchestrator.cli.errors import InputError
from orchestrator.cli.text import count
from orchestrator.cluster.address import cluster_address
from orchestrator.cluster.capacity import gpu_memory, size_worker_groups
from orchestrator.cluster.connection import connect, local_cpus
from orchestrator.cluster.worker_resources import WorkerResources
from orchestrator.encoding_models.shared_backbone import SharedBackbone
from orchestrator.predict.batch_rows import (
    error_row,
    images_row,
    is_error,
    predictions_row,
    read_images_row,
    read_predictions_row,
    rows_of,
)
from orchestrator.predict.image_batches import ImageSource, ReadTask
from orchestrator.predict.passes import Group, PredictedBatch, predict_batch, resizing_of
from trainables.compute.device import free_bytes, use_threads
from trainables.data.ray_data import import_ray_data

if TYPE_CHECKING:
    from ray.data import Dataset

READ_CPUS: Final = 1
"""CPUs that a task reserves which reads images."""
MOST_ACTORS: Final = 10_000
IMAGES_PER_TASK: Final = 128
"""A task reads as many batches as this makes, and at least one."""


@dataclass(frozen=True)
class Actors:
    """The actors that predict: their number and devices."""

    n: int
    device_type: str
    threads: int | None = None
    """CPU threads of each; None: the CPUs of its node."""

    @property
    def gpus(self) -> int:
        """GPUs that each reserves."""
        return int(self.device_type == "cuda")

    @property
    def cpus(self) -> int:
        """CPUs that each reserves.

        None where it computes on the CPUs that images are decoded on: there the operating system
        shares them out. (Ray Data would also run steps of equal needs as one, in the actor.)
        """
        return int(self.device_type == "cuda")


def size_actors(gpus: int | None) -> Actors:
    """Choose the actors of the connected Ray: gpus of them, or as many as there are GPUs.

    Without GPUs, or for gpus=0, one on each node. Raises InputError for more GPUs than there are.
    """
    if gpus != 0:
        groups = size_worker_groups(WorkerResources(), MOST_ACTORS, largest=1)
        n_found = groups.n if groups.size.gpus else 0
        if (gpus or 0) > n_found:
            raise InputError(
                f"--gpus {gpus}: this Ray cluster has {count(n_found, 'GPU')}; leave --gpus out "
                "to use all that there are"
            )
        if n_found:
            return Actors(gpus or n_found, "cuda")
    if not cluster_address():
        return Actors(1, "cpu", torch.get_num_threads())
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    with_cpus = [one for one in nodes if one["Alive"] and one["Resources"].get("CPU", 0) >= 1]
    return Actors(max(1, len(with_cpus)), "cpu")


@dataclass(frozen=True)
class RayPass:
    """Predicts on the connected Ray."""

    actors: Actors

    @classmethod
    def connect(cls, gpus: int | None) -> "RayPass":
        """Connect to Ray; gpus: as of :func:`size_actors`."""
        connect(local_cpus())
        return cls(size_actors(gpus))

    @property
    def device_type(self) -> str:
        """Return ``cpu`` or ``cuda``."""
        return self.actors.device_type

    def free_bytes(self) -> int:
        """Return the memory of the smallest GPU, or the free memory of this node, in bytes."""
        memory = gpu_memory() if self.actors.gpus else None
        return free_bytes(torch.device("cpu")) if memory is None else memory

    def describe(self) -> str:
        """Say where the backbones compute."""
        return count(self.actors.n, "GPU" if self.actors.gpus else "CPU node")

    def run(
        self, groups: Sequence[Group], source: ImageSource, rows: Sequence[range]
    ) -> Iterator[PredictedBatch]:
        """Yield the predictions of each range of rows, in the order in which they are made.

        Raises ValueError with the first line that a task or an actor reports.
        """
        tasks = source.tasks(rows, resizing_of(groups[0]))
        widths = [[model.config.roi.n_vertices for model in group] for group in groups]
        blocks: Iterator[pa.Table] = iter(
            _dataset(groups, tasks, self.actors).iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            )
        )
        with _without_messages():
            first = next(blocks)
        for block in itertools.chain([first], blocks):
            for row in range(block.num_rows):
                yield read_predictions_row(block.slice(row, 1), widths)


def _dataset(groups: Sequence[Group], tasks: Sequence[ReadTask], actors: Actors) -> "Dataset":
    """Read batches in tasks and predict them in actors; a row of the data set is a batch."""
    ray_data = import_ray_data()
    context = ray_data.DataContext.get_current().copy()
    context.execution_options.preserve_order = False  # a slow actor holds up no other
    items = pack_tasks(tasks)
    with ray_data.DataContext.current(context):
        dataset: Dataset = ray_data.from_items(items, override_num_blocks=len(items))
        return dataset.map_batches(
            read_tasks, batch_size=1, batch_format="pyarrow", num_cpus=READ_CPUS
        ).map_batches(
            Predictor,
            fn_constructor_args=(groups, actors.device_type, actors.threads),
            batch_size=1,
            batch_format="pyarrow",
            zero_copy_batch=True,
            compute=ray_data.ActorPoolStrategy(size=min(actors.n, len(items))),
            num_cpus=actors.cpus,
            num_gpus=actors.gpus,
        )


def pack_tasks(tasks: Sequence[ReadTask]) -> list[dict[str, bytes]]:
    """Make the items of the data set: each is read by one of Ray's tasks, to a row per batch."""
    step = max(1, IMAGES_PER_TASK // len(tasks[0].rows))
    return [{"tasks": pickle.dumps(tasks[k : k + step])} for k in range(0, len(tasks), step)]


def read_tasks(items: pa.Table) -> pa.Table:
    """Read some batches, one row each."""
    return pa.concat_tables(map(_read_one, pickle.loads(items["tasks"][0].as_py())))


def _read_one(task: ReadTask) -> pa.Table:
    """Read one batch; what can't be read at all is an error in its row, not a failed task."""
    try:
        return images_row(task.read())
    except (ValueError, OSError) as error:
        return error_row(task.rows, error)


class Predictor:
    """An actor's backbones, which predict one batch after another."""

    def __init__(self, groups: Sequence[Group], device_type: str, threads: int | None) -> None:
        if device_type == "cpu":
            use_threads(threads or len(os.sched_getaffinity(0)))
        self._groups = groups
        self._device = torch.device(device_type)

    @cached_property
    def _backbones(self) -> list[SharedBackbone]:
        return [SharedBackbone(group, self._device) for group in self._groups]

    def __call__(self, row: pa.Table) -> pa.Table:
        """Predict one batch; what fails is an error in its row, so that its cause is one line."""
        if is_error(row):
            return row
        try:
            batch = read_images_row(row, resizing_of(self._groups[0]).size)
            return predictions_row(predict_batch(self._backbones, batch))
        except (ValueError, OSError, torch.OutOfMemoryError) as error:
            return error_row(rows_of(row), error)


@contextmanager
def _without_messages() -> Iterator[None]:
    """Discard what Ray's C++ part prints within the block, at each start of actors.

    Its message, that arguments of Ray Data's own may be lost, has no cure, and no other switch.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
