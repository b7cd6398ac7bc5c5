"""The settings of a sweep: a search space, the selected ROIs, and changes to its trials."""

from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.cli.selection import Selection
from orchestrator.execution.settings import RunSettings
from trainables.spec import Precision


@dataclass(frozen=True)
class TrialChanges:
    """Changes to every trial of a space. Each of them changes the trials' ids, or adds some."""

    precision: Precision | None = None
    """Precision of the backbone's forward pass in fine-tuning; None: that of the space."""
    deterministic: bool = False
    """Whether trials are bitwise reproducible, without fast paths."""
    hyperparameters: Path | None = None
    """A hyperparameter file whose values replace those of contrastive trials."""
    seeds: int = 1
    """Trials of each fine-tuning, which differ in their seed."""


@dataclass(frozen=True)
class SweepSettings:
    """The settings of one sweep."""

    space: str
    run: RunSettings
    selection: Selection = field(default_factory=Selection)
    changes: TrialChanges = field(default_factory=TrialChanges)
    searcher: str = "optuna"
    """Name of the searcher that proposes configurations, if the space is a search."""
