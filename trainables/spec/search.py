"""Hyperparameter searches, as frozen values that a search space declares."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, field
from typing import Annotated, Any, Final

from pydantic import Field, PlainValidator

from trainables.spec.backbone import Backbone
from trainables.spec.fields import Count, Int, Number, Seed, Size, refusal
from trainables.spec.objectives import (
    BatchSize,
    Contrastive,
    Epochs,
    LearningRate,
    Pooled,
    Ratio,
    Regression,
    Temperature,
    identifying,
)
from trainables.spec.records import one_kind_of, record
from trainables.spec.rois import Roi, is_only_evaluated, is_overlapping
from trainables.spec.trial import Trial
from trainables.spec.tune import ALL, Tune
from trainables.spec.values import digest, require

Value = float | int
Values = Mapping[str, Value]


def _value(value: Any) -> Value:
    """Return a finite number, converted to an integer if it has no fraction: 256.0 is 256."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) < 2**63:
        raise refusal("a finite number")
    return int(value) if value == int(value) else value


@record
class LogUniform:
    """A positive number from low to high, uniform in its logarithm."""

    low: Number
    high: Number

    def __post_init__(self) -> None:
        require(0 < self.low < self.high, f"{self}: expected 0 < low < high")


@record
class IntegerRange:
    """An integer from low to high, both included."""

    low: Int
    high: Int

    def __post_init__(self) -> None:
        require(1 <= self.low < self.high, f"{self}: expected 1 <= low < high")


@record
class Choice:
    """One of a few numbers."""

    values: tuple[Annotated[Value, PlainValidator(_value)], ...]

    def __post_init__(self) -> None:
        require(len(set(self.values)) == len(self.values) > 0, f"{self}: expected distinct values")


Range = LogUniform | IntegerRange | Choice
AnyRange = Annotated[Range, one_kind_of(Range)]
IntegersOrChoice = Annotated[IntegerRange | Choice, one_kind_of(IntegerRange | Choice)]


Searched = Contrastive | Regression | Pooled
"""Objectives whose hyperparameters are searched."""
PARAMETERS_OF: Final[Mapping[type[Searched], tuple[str, ...]]] = {
    Contrastive: (
        "temperature",
        "learning_rate",
        "epochs",
        "batch_size",
        "hidden_ratio",
        "embedding_ratio",
    ),
    Regression: ("learning_rate", "epochs", "batch_size"),
    Pooled: ("temperature", "learning_rate", "epochs", "batch_size"),
}
"""The hyperparameters that a search of an objective has; they tell which objective it is."""


def kind_of(names: Iterable[str]) -> type[Searched]:
    """Return the objective that has these hyperparameters; raise ValueError if none has."""
    found = set(names)
    for kind, parameters in PARAMETERS_OF.items():
        if found == set(parameters):
            return kind
    expected = "; ".join(
        f"{kind.__name__.lower()}: {', '.join(names)}" for kind, names in PARAMETERS_OF.items()
    )
    raise ValueError(f"hyperparameters {', '.join(sorted(found))}; expected those of {expected}")


@record
class Ranges:
    """The range of each hyperparameter that is searched; None for those an objective lacks.

    Which ones there are tells the objective: contrastive with all of them, pooled without the
    ratios, regression without the temperature too.
    """

    temperature: AnyRange | None = None
    learning_rate: AnyRange | None = None
    epochs: IntegersOrChoice | None = None
    batch_size: IntegersOrChoice | None = None
    hidden_ratio: AnyRange | None = None
    embedding_ratio: AnyRange | None = None

    def __post_init__(self) -> None:
        kind_of(self.names)
        for name in WHOLE:
            found: Range = getattr(self, name)
            values = found.values if isinstance(found, Choice) else ()
            fraction = [value for value in values if not isinstance(value, int)]
            require(not fraction, f"{name}: expected integers, found {fraction}")
        checked(self.smallest)  # each range lies within what the objective accepts
        checked(self.largest)

    @property
    def names(self) -> tuple[str, ...]:
        """Name the hyperparameters that are searched, in order of declaration."""
        return tuple(name for name in PARAMETERS if getattr(self, name) is not None)

    def items(self) -> list[tuple[str, Range]]:
        """Return the names with their ranges, in order of declaration."""
        return [(name, getattr(self, name)) for name in self.names]

    def least(self, name: str) -> Value:
        """Return the smallest value that a hyperparameter may have."""
        found: Range = getattr(self, name)
        return min(found.values) if isinstance(found, Choice) else found.low

    @property
    def smallest(self) -> dict[str, Value]:
        """Return the configuration with every hyperparameter at its smallest value."""
        return {name: self.least(name) for name in self.names}

    def most(self, name: str) -> float:
        """Return the largest value that a hyperparameter may have."""
        found: Range = getattr(self, name)
        return max(found.values) if isinstance(found, Choice) else found.high

    @property
    def largest(self) -> dict[str, Value]:
        """Return the configuration with every hyperparameter at its largest value."""
        return {name: self.most(name) for name in self.names}

    @property
    def most_epochs(self) -> int:
        """Return the largest number of epochs that a configuration may have."""
        return int(self.most("epochs"))


PARAMETERS: Final = PARAMETERS_OF[Contrastive]
"""All hyperparameters that are searched, in the order of the fields of Ranges."""
WHOLE: Final = ("epochs", "batch_size")
"""Hyperparameters that are integers."""


Many = Annotated[Count, Field(le=10**5)]
"""A number of things that a search lists."""


@record
class Search:
    """A hyperparameter search: its ROIs, its ranges, and its rule for stopping trials early."""

    ranges: Ranges
    n_rois: Many
    min_vertices: Size
    """Only ROIs with more vertices than this are searched on."""
    n_configurations: Many
    per_round: Many
    """Configurations proposed per round, from the results of earlier rounds."""
    grace_period: Count
    """Epochs before a trial may be stopped."""
    reduction_factor: Annotated[Number, Field(gt=1)]
    """About one in this many of the trials that reach a rung continues."""
    backbone: Backbone = field(default_factory=Backbone)
    validation: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    """Share of the training images held out, on which retrieval ranks the configurations."""
    seed: Seed = 0
    tune: Tune = ALL
    """What of the backbone every configuration tunes."""

    def __post_init__(self) -> None:
        most = self.ranges.most_epochs
        require(
            self.grace_period <= most,
            f"search: grace_period {self.grace_period} is above the most epochs, {most}",
        )

    @property
    def id(self) -> str:
        """Hash all fields of the search to 8 hex digits."""
        ranges = {n: {"kind": type(one).__name__, **asdict(one)} for n, one in self.ranges.items()}
        content = {**asdict(self), "ranges": ranges, "backbone": self.backbone.content}
        return digest(identifying(content))

    @property
    def n_rounds(self) -> int:
        """Count the rounds; the last one may be smaller."""
        return -(-self.n_configurations // self.per_round)

    @property
    def kind(self) -> type[Searched]:
        """Return the objective whose hyperparameters are searched."""
        return kind_of(self.ranges.names)

    def choose(self, rois: Sequence[Roi]) -> list[tuple[Roi, ...]]:
        """Draw what n_rois trainings are fitted to, or return all if there are fewer.

        That is one ROI with enough vertices, or for pooled models the same of all subjects that
        have it, two or more. ROIs that overlap others (streams, atlases, whole hemispheres) and
        NOD's subjects, which are evaluated with NSD's models, are left out. The draw does not
        depend on the order of rois; the result is sorted by id.
        """
        large = [roi for roi in rois if roi.n_vertices > self.min_vertices]
        large = [c for c in large if not (is_overlapping(c.name) or is_only_evaluated(c))]
        large.sort(key=lambda roi: roi.id)
        each = [(roi,) for roi in large] if self.kind is not Pooled else _pools(large)
        drawn = random.Random(self.seed).sample(each, min(self.n_rois, len(each)))
        return sorted(drawn, key=lambda rois: rois[0].id)

    def objective(self, values: Values) -> Searched:
        """Build a configuration's objective; raise ValueError on unknown or missing names."""
        return self.kind(**checked(values), validation=self.validation, tune=self.tune)

    def trial(self, values: Values, rois: tuple[Roi, ...], backbone: Backbone) -> Trial:
        """Build the trial of a configuration on its ROIs: fine-tuned and ranked, not encoded."""
        return Trial(self.objective(values), rois, backbone, encoding=None, seed=self.seed)


def _pools(rois: Sequence[Roi]) -> list[tuple[Roi, ...]]:
    """Group ROIs of the same name and hemisphere that two subjects or more have."""
    pools: dict[tuple[str, str, str], list[Roi]] = {}
    for roi in rois:
        pools.setdefault((roi.dataset, roi.hemisphere, roi.name), []).append(roi)
    return [tuple(pool) for pool in pools.values() if len(pool) > 1]


@record
class Hyperparameters:
    """A configuration: one value for each hyperparameter of a search, None for the others."""

    learning_rate: LearningRate
    epochs: Epochs
    batch_size: BatchSize
    temperature: Temperature | None = None
    hidden_ratio: Ratio | None = None
    embedding_ratio: Ratio | None = None

    def __post_init__(self) -> None:
        kind_of(self.values)

    @property
    def values(self) -> dict[str, Value]:
        """Return the values that there are, in the order of PARAMETERS."""
        found = {name: getattr(self, name) for name in PARAMETERS}
        return {name: value for name, value in found.items() if value is not None}


def checked(values: Values) -> dict[str, Any]:
    """Return values in order; raise ValueError unless they are valid, and all of an objective."""
    given: Mapping[str, Any] = values
    return Hyperparameters(**given).values


def name_of(values: Values) -> str:
    """Name a configuration by a hash of its content."""
    return digest(checked(values))
