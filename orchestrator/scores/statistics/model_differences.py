"""The differences of single models from others, where one ROI is scored by models of several."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from orchestrator.scores.score_table import ScoreTable
from orchestrator.scores.statistics.measured_differences import (
    NOTHING,
    MeasuredDifferences,
    measure_differences,
)
from orchestrator.scores.statistics.roi_differences import RoiDifference
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory

Model = tuple[str, str | None]
"""A label, and the ROIs that its models were fine-tuned on; None: untuned."""
_SEPARATOR: Final = "\n"


@dataclass(frozen=True)
class ModelDifferences:
    """What is known of the differences between models."""

    measured: MeasuredDifferences = field(default_factory=MeasuredDifferences)

    @property
    def is_known(self) -> bool:
        """Whether any difference could be measured."""
        return any(self.measured.differences.values())

    def of(self, model: Model, other: Model, roi: str) -> RoiDifference | None:
        """Return the difference in an ROI; None where it could not be measured."""
        found: Mapping[str, RoiDifference] = self.measured.differences.get(
            (_key(*model), _key(*other)), {}
        )
        return found.get(roi)


NOT_MEASURED: Final = ModelDifferences()


def measure_models(
    table: ScoreTable,
    pairs: Iterable[tuple[Model, Model]],
    runs: RunDirectory,
    data: DataDirectory,
) -> ModelDifferences:
    """Measure pairs of models in every ROI that both scored, as :func:`measure_differences` does.

    Trials of a model differ only in their seed.
    """
    keys = [(_key(*one), _key(*other)) for one, other in dict.fromkeys(pairs)]
    sources = table.segments["trained_on"].astype(object)
    names = table.segments["method"].astype(str) + _SEPARATOR + sources.where(sources.notna(), "")
    by_model = replace(table, segments=table.segments.assign(method=names))
    return ModelDifferences(measure_differences(by_model, keys, runs, data))


def measure_trials(
    table: ScoreTable, runs: RunDirectory, data: DataDirectory
) -> MeasuredDifferences:
    """Measure the mean r of every trial in each ROI: pairs of its id with NOTHING."""
    by_trial = replace(table, segments=table.segments.assign(method=table.segments["trial_id"]))
    pairs = [(trial_id, NOTHING) for trial_id in by_trial.present("method")]
    return measure_differences(by_trial, pairs, runs, data)


def _key(label: str, trained_on: str | None) -> str:
    return f"{label}{_SEPARATOR}{trained_on or ''}"
