"""What a sweep runs: a search space, the chosen ROIs, and how its trials differ from the space."""

from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.cli.selection import Selection
from orchestrator.execution.settings import RunSettings
from trainables.spec import Precision


@dataclass(frozen=True)
class TrialChanges:
    """Changes to every trial of a space. Each of them changes the ids of trials."""

    precision: Precision | None = None
    """Of the images' pass through the backbone in fine-tuning; None: as the space says."""
    deterministic: bool = False
    """Whether trials take no fast path."""
    hyperparameters: Path | None = None
    """A frozen file whose values replace those of contrastive trials."""


@dataclass(frozen=True)
class SweepSettings:
    """One sweep as it was asked for."""

    space: str
    run: RunSettings
    selection: Selection = field(default_factory=Selection)
    changes: TrialChanges = field(default_factory=TrialChanges)
    searcher: str = "optuna"
    """What proposes configurations, where the space is a search."""
