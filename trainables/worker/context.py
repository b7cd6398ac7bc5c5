"""Where a trial runs, and a trial with its network and subjects in memory."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from trainables.compute.precision import Numerics
from trainables.results.run_directory import RunDirectory
from trainables.spec.evaluation import WorkItem, training_of
from trainables.storage.stored_directory import StoredDirectory
from trainables.worker.subject_cache import CachedSubject


@dataclass(frozen=True)
class RunContext:
    """Where a trial runs: what changes nothing in its result, so nothing in its id."""

    data: Path
    runs: RunDirectory
    weights_file: Path | None = None
    threads: int = 1
    """Threads of a worker on the CPU. (Another number may round sums otherwise.)"""
    share_of_gpu: float = 1.0
    """Of a GPU's memory, where several workers share one."""
    keep_every_epoch: bool = False
    keep_backbones: bool = True
    """False for a search, which needs a trial's checkpoints only until the trial has ended."""
    keep_predictions: bool = True
    """Write what the refit of ``nested`` predicts of each test image."""
    image_budget: int | None = None
    """Bytes of images to hold on the device; None: a share of what is free. More are streamed."""
    feature_budget: int | None = None
    """Bytes of features to hold on the device; None: a share of what is free. More are on disk."""

    def checkpoint(self, trial: WorkItem) -> StoredDirectory:
        """Return the directory of a trial's checkpoints; those that are removed lie apart."""
        return self.runs.checkpoints(trial.training_id, of_search=not self.keep_backbones)


@dataclass(frozen=True)
class PreparedTrial:
    """A trial or evaluation with its network, and its subjects by the name of their shard."""

    trial: WorkItem
    network: nn.Module
    subjects: dict[str, CachedSubject]


def numerics_of(item: WorkItem) -> Numerics:
    """Say how the numbers of a trial are computed; an evaluation's as those of its model."""
    return Numerics(training_of(item).deterministic)
