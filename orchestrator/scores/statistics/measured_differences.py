"""The differences between methods in each ROI, from the predictions of their trials' test images.

What a test image adds to a difference needs the predictions of ``nested``, the one protocol that
predicts a test image once, and the measured responses.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from orchestrator.scores.score_table import ScoreTable
from orchestrator.scores.statistics.held_out_responses import HeldOutResponses, ImageNumbers
from orchestrator.scores.statistics.image_jackknife import MeasuredResponses
from orchestrator.scores.statistics.noise_ceilings import has_data, read_ceilings
from orchestrator.scores.statistics.paired_predictions import PROTOCOL
from orchestrator.scores.statistics.roi_differences import (
    Images,
    RoiDifference,
    TrialScore,
    subtract,
)
from orchestrator.scores.statistics.share_jackknife import median_share
from trainables.data.data_directory import DataDirectory
from trainables.results.prediction_files import RoiPredictions, read_predictions
from trainables.results.run_directory import RunDirectory
from trainables.spec import Untuned
from trainables.spec.evaluation import WorkItem, training_of

AT_ONCE: Final = 2
"""ROIs that are measured at once; each holds the predictions of all its trials."""

Array = np.ndarray[Any, Any]
Pair = tuple[str, str]
Statistic = Literal["r", "share"]
NOTHING: Final = ""
"""The second of a pair whose first is measured alone: its mean r, as a difference from 0."""


@dataclass(frozen=True)
class MeasuredDifferences:
    """The differences of pairs of methods, by ROI, and why others are not known."""

    differences: Mapping[Pair, Mapping[str, RoiDifference]] = field(default_factory=dict)
    missing: Mapping[Pair, Mapping[str, str]] = field(default_factory=dict)
    """A reason for each ROI without predictions of both, or without their data."""


@dataclass(frozen=True)
class _Roi:
    """An ROI of a subject, and the trials of each method that scored it."""

    id: str
    subject: Pair
    trials: Mapping[str, Sequence[str]]
    """Ids of the trials, by method."""


def measure_differences(
    table: ScoreTable,
    pairs: Sequence[Pair],
    runs: RunDirectory,
    data: DataDirectory,
    *,
    of: Statistic = "r",
) -> MeasuredDifferences:
    """Measure pairs of methods in every ROI that both scored on the same data.

    table: the trials of one protocol, of all seeds. data: the directory of the shards. of: the mean
    r, or the median share of the explainable variance over the vertices with a noise ceiling. A
    file that is missing or damaged is a reason, not an error.
    """
    found: dict[Pair, dict[str, RoiDifference]] = {pair: {} for pair in pairs}
    missing: dict[Pair, dict[str, str]] = {pair: {} for pair in pairs}
    for reader, rois in _subjects(table, pairs, runs, data, of):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for roi, results in zip(rois, pool.map(reader.measure, rois), strict=True):
                for pair, result in results.items():
                    if isinstance(result, str):
                        missing[pair][roi.id] = result
                    else:
                        found[pair][roi.id] = result
    return MeasuredDifferences(found, missing)


def _subjects(
    table: ScoreTable,
    pairs: Sequence[Pair],
    runs: RunDirectory,
    data: DataDirectory,
    of: Statistic,
) -> "Iterator[tuple[_SubjectReader, list[_Roi]]]":
    """Yield each subject's ROIs, and what measures them."""
    numbers = ImageNumbers()
    methods = {method for pair in pairs for method in pair}
    segments = table.segments[table.segments["method"].isin(methods)]
    columns = ["dataset", "subject", "data", "hemisphere", "roi_id", "method", "trial_id"]
    scored = segments.loc[segments["protocol"] == PROTOCOL, columns].astype(str)
    shared = _shared_trainings(table.trials, scored)
    for (dataset, subject, content), part in scored.groupby(["dataset", "subject", "data"]):
        shard = data.shard(f"{dataset}-{subject}")
        responses = _read_responses(shard, str(content), list(part["hemisphere"].unique()))
        rois = [
            _Roi(str(roi), (str(dataset), str(subject)), _by_method(of_roi))
            for roi, of_roi in part.groupby("roi_id")
        ]
        stimuli = [] if isinstance(responses, str) else list(responses.stimuli)
        images = numbers.of(str(dataset), stimuli)
        ceilings = None if of == "r" or isinstance(responses, str) else read_ceilings(shard)
        yield _SubjectReader(runs, table.trials, pairs, shared, responses, images, ceilings), rois


def _read_responses(
    shard: Path, content: str, hemispheres: Sequence[str]
) -> HeldOutResponses | str:
    """Read a subject's responses to test images, or say why they can't be read."""
    if not has_data(shard, content):
        return f"{shard}: no responses with the content that was scored; give the sweep's --data"
    try:
        return HeldOutResponses.read(shard, hemispheres, verify=False)
    except ValueError as error:
        return str(error)


def _by_method(rows: pd.DataFrame) -> dict[str, list[str]]:
    return {str(m): sorted(part["trial_id"].unique()) for m, part in rows.groupby("method")}


def _shared_trainings(trials: Mapping[str, WorkItem], scored: pd.DataFrame) -> set[str]:
    """Name the trials whose backbone was fine-tuned once and scores several subjects."""
    subjects: dict[str, set[Pair]] = defaultdict(set)
    rows = scored[["trial_id", "dataset", "subject"]].drop_duplicates()
    for trial_id, dataset, subject in rows.itertuples(index=False, name=None):
        subjects[trials[trial_id].training_id].add((dataset, subject))
    return {
        trial_id
        for trial_id in rows["trial_id"]
        if len(subjects[trials[trial_id].training_id]) > 1 and _seed(trials[trial_id]) is not None
    }


def _seed(work_item: WorkItem) -> str | None:
    trial = training_of(work_item)
    return None if isinstance(trial.objective, Untuned) else str(trial.seed)


@dataclass(frozen=True)
class _SubjectReader:
    """Measures a subject's ROIs, from its responses and the predictions of trials."""

    runs: RunDirectory
    trials: Mapping[str, WorkItem]
    pairs: Sequence[Pair]
    shared: set[str]
    responses: HeldOutResponses | str
    """A reason where there are none."""
    images: Array
    """(n_images,) numbers of the images of the responses."""
    ceilings: Mapping[str, Array] | None
    """Of each hemisphere, (n_vertices,) noise ceilings, to measure shares; None: to measure r."""

    def measure(self, roi: _Roi) -> dict[Pair, RoiDifference | str]:
        """Measure each pair that scored an ROI, or say why it can't be measured."""
        pairs = [pair for pair in self.pairs if set(pair) - {NOTHING} <= set(roi.trials)]
        if isinstance(self.responses, str):
            return dict.fromkeys(pairs, self.responses)
        wanted = {
            trial for pair in pairs for method in pair for trial in roi.trials.get(method, ())
        }
        read = {trial: self._read(trial, roi.id) for trial in sorted(wanted)}
        cache = _RoiEffects(self.responses, self.images, self.ceilings)
        return {pair: self._difference(pair, roi, read, cache) for pair in pairs}

    def _read(self, trial_id: str, roi_id: str) -> RoiPredictions | str:
        path = self.runs.fetched(self.runs.prediction_file(trial_id, roi_id))
        if not path.is_file():
            return f"{path}: no predictions were kept"
        try:
            read = read_predictions(path, PROTOCOL)
        except ValueError as error:  # a table of scores is not lost for it
            return str(error)
        return f"{path}: no predictions under {PROTOCOL}" if read is None else read

    def _difference(
        self,
        pair: Pair,
        roi: _Roi,
        read: Mapping[str, RoiPredictions | str],
        effects: "_RoiEffects",
    ) -> RoiDifference | str:
        sides = [roi.trials.get(method, ()) for method in pair]
        predictions: dict[str, RoiPredictions] = {}
        for trial in (*sides[0], *sides[1]):
            one = read[trial]
            if isinstance(one, str):
                return one
            predictions[trial] = one
        first = predictions[sides[0][0]]
        if any(not np.array_equal(one.vertex, first.vertex) for one in predictions.values()):
            return f"{roi.id}: predictions of other vertices than {pair[0]}'s"
        vertices = np.logical_and.reduce([effects.defined(one) for one in predictions.values()])
        if not vertices.any():
            ceiling = "" if self.ceilings is None else " and a noise ceiling"
            return f"{roi.id}: no vertex has an r of both{ceiling}"
        a, b = (
            [
                effects.score(_seed(self.trials[trial]), trial, predictions[trial], vertices)
                for trial in side
            ]
            for side in sides
        )
        shares = any(trial in self.shared for trial in predictions)
        return subtract(roi.subject, a, b, shares_training=shares)


class _RoiEffects:
    """The scores of an ROI's trials, each computed once for all pairs."""

    def __init__(
        self, responses: HeldOutResponses, numbers: Array, ceilings: Mapping[str, Array] | None
    ) -> None:
        self._responses, self._numbers, self._ceilings = responses, numbers, ceilings
        self._measured: dict[bytes, tuple[MeasuredResponses, Array]] = {}
        self._scores: dict[tuple[str, bytes], TrialScore] = {}

    def defined(self, predictions: RoiPredictions) -> Array:
        """Return which vertices have an r, and a ceiling for a share: (n_vertices,) bool."""
        measured, _ = self._of(predictions)
        finite: Array = np.isfinite(predictions.values[0]) & measured.varies
        ceiling = self._ceiling(predictions)
        return finite if ceiling is None else finite & (ceiling > 0)

    def score(
        self, seed: str | None, trial: str, predictions: RoiPredictions, vertices: Array
    ) -> TrialScore:
        """Score a trial on some vertices."""
        key = (trial, vertices.tobytes())
        if key not in self._scores:
            measured, numbers = self._of(predictions)
            ceiling = self._ceiling(predictions)
            if ceiling is None:
                score, effects = measured.mean_r(predictions.values, vertices)
            else:
                score, effects = median_share(measured, predictions.values, vertices, ceiling)
            self._scores[key] = TrialScore(seed, score, Images.of_rows(numbers, effects))
        return self._scores[key]

    def _ceiling(self, predictions: RoiPredictions) -> Array | None:
        if self._ceilings is None:
            return None
        ceiling: Array = self._ceilings[predictions.roi.hemisphere][predictions.vertex]
        return ceiling

    def _of(self, predictions: RoiPredictions) -> tuple[MeasuredResponses, Array]:
        """Return the responses that were predicted, and the numbers of their images."""
        key = predictions.index.tobytes()
        if key not in self._measured:
            rows = self._responses.rows_of(predictions)
            responses = MeasuredResponses(self._responses.of(predictions))
            self._measured[key] = (responses, self._numbers[rows])
        return self._measured[key]
