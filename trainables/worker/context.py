"""The context that a trial runs in, and a trial with its network and subjects in memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.compute.numerics import Numerics
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec.evaluation import WorkItem, training_of
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.checkpoint_notes import Keep

if TYPE_CHECKING:
    from torch import nn

    from trainables.worker.subject_cache import CachedSubject


@dataclass(frozen=True)
class RunContext:
    """Paths, resources and options that a trial runs with; they do not affect its result or id."""

    data: DataDirectory
    runs: RunDirectory
    weights_file: Path | None = None
    threads: int = 1
    """CPU threads of a worker. (Another number may round sums differently.)"""
    share_of_gpu: float = 1.0
    """Share of a GPU's memory that this worker may use."""
    keep: Keep = "best"
    """Which weights of a training are kept."""
    removable: frozenset[str] = frozenset()
    """Ids of the trainings whose weights are removed once their trial has ended."""
    of_search: bool = False
    """Whether trials are those of a search, whose checkpoints are kept apart until they end."""
    keep_predictions: bool = True
    """Write the predictions of test images by the refitted models of ``nested`` and ``clean``."""
    image_budget: int | None = None
    """Image bytes to keep on the device; None: a share of its free memory. More are streamed."""
    feature_budget: int | None = None
    """Feature bytes to keep on the device; None: by its free memory. More go to disk, or on
    a GPU are computed again."""

    def checkpoint(self, trial: WorkItem) -> StoredDirectory:
        """Return the directory of a trial's checkpoints; those of a search are kept apart."""
        return self.runs.checkpoints(trial.training_id, of_search=self.of_search)


@dataclass(frozen=True)
class PreparedTrial:
    """A trial or evaluation with its network, and its subjects by shard name."""

    trial: WorkItem
    network: "nn.Module"
    subjects: dict[str, "CachedSubject"]


def numerics_of(item: WorkItem) -> Numerics:
    """Return the numerics of a trial; for an evaluation, those of its model."""
    return Numerics(training_of(item).deterministic)
