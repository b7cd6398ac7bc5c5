"""The settings of a sweep."""

from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.cli.process import Started
from orchestrator.cluster.capacity import Asked
from trainables.spec import Precision


@dataclass(frozen=True)
class SweepSettings:
    """One sweep as it was asked for."""

    space: str
    data: Path
    out: Path
    weights: Path | None
    experiment: str | None
    subjects: tuple[int, ...] | None
    hemispheres: tuple[str, ...]
    rois: tuple[str, ...] | None
    workers_per_trial: int
    cpus_per_trial: int
    gpus_per_trial: float | None
    max_concurrent: int | None
    retries: int
    keep_every_epoch: bool
    keep_predictions: bool
    dry_run: bool
    searcher: str = "optuna"
    """What proposes configurations, where the space is a search."""
    hyperparameters: Path | None = None
    """A frozen file whose values replace those of contrastive trials."""
    precision: Precision | None = None
    """What images pass the backbone in while it is fine-tuned; None: as the space says."""
    deterministic: bool = False
    """Whether trials take no fast path."""
    stall_timeout: float | None = None
    """Seconds that a trial may go without progress; None: by its cost."""
    share_gpus: bool = False
    """Whether as many trials share a GPU as its memory holds."""
    started: Started = field(default_factory=Started)
    """The command line."""

    @property
    def asked(self) -> Asked:
        """Say what was asked of the workers."""
        return Asked(
            self.cpus_per_trial,
            self.gpus_per_trial,
            self.workers_per_trial,
            self.max_concurrent,
            self.share_gpus,
        )
