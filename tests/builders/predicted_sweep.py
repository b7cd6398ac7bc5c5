"""A sweep with kept predictions: several methods, seeds and subjects, and a pooled model."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.small_shards import write_shards
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.measured_differences import (
    MeasuredDifferences,
    measure_differences,
)
from tests.builders.small_predictions import write_predicted, write_predictions_of
from tests.builders.small_scores import ENCODING
from trainables.data.data_directory import DataDirectory
from trainables.results.prediction_files import read_predictions
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Pooled, Regression, Roi, Trial, Untuned

SUBJECTS = ("subj01", "subj02", "subj03")


class PredictedSweep:
    """Three subjects: untuned, contrastive with two seeds, regression with one, one pooled."""

    def __init__(self, home: Path) -> None:
        self.runs, self.data = home / "runs", home / "data"
        self.rois = write_shards(self.data, SUBJECTS, n_images=120, image_size=8)
        write_predicted(self.runs, self.data, Untuned(), self.rois, 2.0)
        self.contrastive = [
            write_predicted(self.runs, self.data, Contrastive(), self.rois, 0.7, seed=seed)
            for seed in (0, 1)
        ]
        write_predicted(self.runs, self.data, Regression(), self.rois, 1.0)
        first = self.rois[0]
        alike = tuple(
            roi for roi in self.rois if (roi.name, roi.hemisphere) == (first.name, first.hemisphere)
        )
        self.pooled = Trial(Pooled(), alike[:2], encoding=ENCODING)
        rng = np.random.default_rng(0)
        write_predictions_of(self.runs, self.data, self.pooled, 0.9, rng)

    def measure(
        self, *pairs: tuple[str, str], runs: Path | None = None, data: Path | None = None
    ) -> MeasuredDifferences:
        """Measure pairs of methods, here or in changed copies of the directories."""
        runs_at, data_at = RunDirectory(runs or self.runs), DataDirectory(data or self.data)
        return measure_differences(read_score_table(runs_at), pairs, runs_at, data_at)

    def predicted(self, trial: Trial, roi: Roi) -> np.ndarray:
        """Read a trial's predictions of an ROI: (n_images, n_vertices)."""
        path = RunDirectory(self.runs).prediction_file(trial.id, roi.id)
        found = read_predictions(path, "nested")
        assert found is not None
        return found.values


@pytest.fixture(scope="session")
def predicted_sweep(tmp_path_factory: pytest.TempPathFactory) -> PredictedSweep:
    """Write the sweep once; tests leave it as it is."""
    return PredictedSweep(tmp_path_factory.mktemp("predicted_sweep"))
