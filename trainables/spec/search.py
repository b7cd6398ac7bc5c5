"""What a search for hyperparameters is: frozen values that a search space declares."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Final

from trainables.spec.objectives import Contrastive
from trainables.spec.rois import NOD_ROIS, STREAMS, Roi
from trainables.spec.trial import Backbone, Trial
from trainables.spec.values import digest, require

Value = float | int
Values = Mapping[str, Value]


@dataclass(frozen=True)
class LogUniform:
    """A positive number, as likely in each decade between low and high."""

    low: float
    high: float

    def __post_init__(self) -> None:
        require(0 < self.low < self.high, f"{self}: expected 0 < low < high")


@dataclass(frozen=True)
class IntegerRange:
    """A whole number from low to high, both included."""

    low: int
    high: int

    def __post_init__(self) -> None:
        require(1 <= self.low < self.high, f"{self}: expected 1 <= low < high")


@dataclass(frozen=True)
class Choice:
    """One of a few numbers."""

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        require(len(set(self.values)) == len(self.values) > 0, f"{self}: expected distinct values")


Range = LogUniform | IntegerRange | Choice


@dataclass(frozen=True)
class Ranges:
    """Where each hyperparameter of the contrastive objective is looked for."""

    temperature: Range
    learning_rate: Range
    epochs: IntegerRange | Choice
    batch_size: IntegerRange | Choice
    hidden_ratio: Range
    embedding_ratio: Range

    def items(self) -> list[tuple[str, Range]]:
        """List the names with their ranges, in order."""
        return [(name, getattr(self, name)) for name in PARAMETERS]

    def most(self, name: str) -> float:
        """Give the largest value that a hyperparameter may have."""
        found: Range = getattr(self, name)
        return max(found.values) if isinstance(found, Choice) else found.high

    @property
    def largest(self) -> dict[str, Value]:
        """Give the configuration of all the largest values."""
        return {name: self.most(name) for name in PARAMETERS}

    @property
    def most_epochs(self) -> int:
        """Give the most epochs that a configuration may have."""
        return int(self.most("epochs"))


PARAMETERS: Final = tuple(item.name for item in fields(Ranges))
WHOLE: Final = ("epochs", "batch_size")
"""Hyperparameters that are whole numbers."""


@dataclass(frozen=True)
class Search:
    """A search: on which ROIs, over what, and how it is cut short."""

    ranges: Ranges
    n_rois: int
    min_vertices: int
    """ROIs must have more."""
    n_configurations: int
    per_round: int
    """Configurations proposed at once, from what the rounds before have found."""
    grace_period: int
    """Epochs before a trial may be stopped."""
    reduction_factor: float
    """Of the trials that reach a rung, about one in so many goes on."""
    backbone: Backbone = field(default_factory=Backbone)
    validation: float = 0.1
    """Share of the training images held back, on which retrieval is measured."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_rois", "n_configurations", "per_round", "grace_period"):
            require(getattr(self, name) >= 1, f"search: {name} {getattr(self, name)} is below 1")
        require(self.reduction_factor > 1, f"search: reduction_factor {self.reduction_factor} <= 1")
        require(
            0 < self.validation < 1,
            f"search: validation {self.validation}: configurations are judged on held-back "
            "training images; expected a share between 0 and 1",
        )
        most = self.ranges.most_epochs
        require(
            self.grace_period <= most,
            f"search: grace_period {self.grace_period} is above the most epochs, {most}",
        )

    @property
    def n_rounds(self) -> int:
        """Count the rounds; the last one may be smaller."""
        return -(-self.n_configurations // self.per_round)

    def choose_rois(self, rois: Sequence[Roi]) -> list[Roi]:
        """Draw n_rois of the ROIs with enough vertices; all if there are fewer.

        Streams and NOD's areas are left out: NOD's models are NSD's. The same ROIs come out
        whatever the order they are given in, sorted by id.
        """
        left_out = (*STREAMS, *NOD_ROIS)
        large = [c for c in rois if c.n_vertices > self.min_vertices and c.name not in left_out]
        large.sort(key=lambda roi: roi.id)
        drawn = random.Random(self.seed).sample(large, min(self.n_rois, len(large)))
        return sorted(drawn, key=lambda roi: roi.id)

    def objective(self, values: Values) -> Contrastive:
        """Make the objective of a configuration; raise ValueError on unknown or missing names."""
        return Contrastive(**checked(values), validation=self.validation)  # type: ignore[arg-type]

    def trial(self, values: Values, roi: Roi, backbone: Backbone) -> Trial:
        """Make the trial of a configuration on an ROI: fine-tuned and ranked, not encoded."""
        return Trial(self.objective(values), (roi,), backbone, encoding=None, seed=self.seed)


def checked(values: Values) -> dict[str, Value]:
    """Return values in order; raise ValueError unless they are all the hyperparameters' numbers."""
    unknown, missing = set(values) - set(PARAMETERS), set(PARAMETERS) - set(values)
    require(not unknown, f"unknown hyperparameters {sorted(unknown)}; expected {PARAMETERS}")
    require(not missing, f"hyperparameters without a value: {sorted(missing)}")
    for name in PARAMETERS:
        value, kinds = values[name], (int,) if name in WHOLE else (int, float)
        kind = "a whole number" if name in WHOLE else "a number"
        fits = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
        require(fits, f"{name} {value!r}: expected {kind}, finite")
    return {name: values[name] for name in PARAMETERS}


def name_of(values: Values) -> str:
    """Name a configuration by its content."""
    return digest(checked(values))
