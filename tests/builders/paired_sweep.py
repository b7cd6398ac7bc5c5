"""A sweep of four subjects with predictions: models of each scored on the others, and pools."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from benchmarks.small_shards import write_shards
from orchestrator.analyze.analysis import Inputs
from tests.builders.small_predictions import write_predictions_of
from tests.builders.small_scores import ENCODING
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Evaluation, Pooled, Roi, Trial, Untuned

SUBJECTS = ("subj01", "subj02", "subj03", "subj04")
NOISE = {"untuned": 1.6, "contrastive": 0.8, "pooled-avg": 0.9}
PLACES = {("lh", "V1v"), ("rh", "EBA")}


class PairedSweep:
    """Untuned and contrastive trials of each subject, all evaluations, and a pool of all four.

    A subject's models have noise of their own size on every target, and so has every target.
    """

    def __init__(self, home: Path) -> None:
        self.runs, self.data = RunDirectory(home / "runs"), DataDirectory(home / "data")
        rois = write_shards(home / "data", SUBJECTS, n_images=90, image_size=4)
        self.rois = [roi for roi in rois if (roi.hemisphere, roi.name) in PLACES]
        rng = np.random.default_rng(0)
        self.models = {roi: Trial(Contrastive(), (roi,), encoding=ENCODING) for roi in self.rois}
        for subject, size in zip(SUBJECTS, (0.9, 1.0, 1.05, 1.2), strict=True):
            own = [roi for roi in self.rois if roi.subject == subject]
            untuned = Trial(Untuned(), tuple(own), encoding=ENCODING)
            self._write(untuned, NOISE["untuned"] * size, rng)
            for roi in own:
                self._write(self.models[roi], NOISE["contrastive"], rng)
        for one, other in itertools.permutations(self.rois, 2):
            if one.name == other.name:
                noise = 1.0 + 0.1 * SUBJECTS.index(one.subject)
                self._write(Evaluation(self.models[one], (other,)), noise, rng)
        for _, name in sorted(PLACES):
            alike = tuple(roi for roi in self.rois if roi.name == name)
            self._write(Trial(Pooled(), alike, encoding=ENCODING), NOISE["pooled-avg"], rng)

    def _write(self, work_item: Trial | Evaluation, noise: float, rng: np.random.Generator) -> None:
        write_predictions_of(self.runs.path, self.data.path, work_item, noise, rng)

    def of(self, subject: str, name: str) -> Roi:
        """Return the ROI of a subject."""
        return next(one for one in self.rois if (one.subject, one.name) == (subject, name))

    @property
    def inputs(self) -> Inputs:
        """The inputs of analyses."""
        return Inputs(self.runs, self.data)


@pytest.fixture(scope="session")
def paired_sweep(tmp_path_factory: pytest.TempPathFactory) -> PairedSweep:
    """Write the sweep once; tests leave it as it is."""
    return PairedSweep(tmp_path_factory.mktemp("paired_sweep"))
