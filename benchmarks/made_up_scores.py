"""Made-up scores of every method on every ROI of made-up subjects, with the predictions of some.

Gains over untuned are planted by method and ROI group, at about the size of published ones.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.made_up_cortex import N_TEST, N_TRAIN, MadeUpSubject
from trainables.encoding.score_rois import RoiScores
from trainables.results.prediction_files import write_predictions
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import write_scores
from trainables.spec import (
    ALEXNET_LAYERS,
    LARGEST_ROI,
    Contrastive,
    Encoding,
    Evaluation,
    Objective,
    Pooled,
    Regression,
    Roi,
    Trial,
    Untuned,
    WorkItem,
)
from trainables.spec.rois import roi_group_of

ENCODING: Final = Encoding(protocols=("nested", "paper"))
LEVEL: Final = {"early": 0.40, "higher": 0.35}
"""Mean r of the untuned backbone."""
GAINS: Final = {
    ("untuned", "early"): 0.0,
    ("untuned", "higher"): 0.0,
    ("regression", "early"): 0.023,
    ("regression", "higher"): 0.010,
    ("contrastive", "early"): 0.030,
    ("contrastive", "higher"): 0.013,
    ("permuted-contrastive", "early"): 0.004,
    ("permuted-contrastive", "higher"): 0.001,
    ("pooled-avg", "early"): 0.042,
    ("pooled-avg", "higher"): 0.014,
    ("pooled-const", "early"): 0.041,
    ("pooled-const", "higher"): 0.015,
    ("transfer", "early"): 0.024,
    ("transfer", "higher"): 0.007,
}
"""Of a method on an ROI group."""
PAPER: Final = {"early": -0.012, "higher": 0.008}
"""r under ``paper`` minus r under ``nested``."""
BEST_LAYER: Final = {"early": 2, "higher": 5}
"""Place of the layer with the highest r."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class MadeUpSweep:
    """The trials of a made-up sweep."""

    trials: tuple[Trial, ...]


def write_sweep(
    runs: RunDirectory, rois: Sequence[Roi], subjects: Sequence[MadeUpSubject]
) -> MadeUpSweep:
    """Write the scores of all trials and evaluations, and the predictions of one subject's."""
    known = {one.name: one for one in subjects}
    trials = list(_trials(rois))
    for trial in trials:
        keep = not isinstance(trial.objective, Pooled)
        for roi in trial.rois:
            _write(runs, trial, roi, known[roi.subject], trial.method, keep=keep)
    for one in _evaluations(rois):
        [target] = one.rois
        _write(runs, one, target, known[target.subject], "transfer", keep=False)
    return MadeUpSweep(tuple(trials))


def _trials(rois: Sequence[Roi]) -> Iterator[Trial]:
    for subject in dict.fromkeys(roi.subject for roi in rois):
        own = tuple(roi for roi in rois if roi.subject == subject)
        yield Trial(Untuned(), own, encoding=ENCODING)
        for roi in own:
            yield _trial(Regression(), roi)
            yield _trial(Contrastive(), roi)
            yield Trial(Contrastive(), (roi,), encoding=ENCODING, permuted=True)
    for alike in by_region(rois):
        for objective in (Pooled(), Pooled(hidden_dim=LARGEST_ROI)):
            yield _trial(objective, *alike)


def _evaluations(rois: Sequence[Roi]) -> Iterator[Evaluation]:
    for alike in by_region(rois):
        for model, target in itertools.permutations(alike, 2):
            yield Evaluation(_trial(Contrastive(), model), (target,))


def _trial(objective: Objective, *rois: Roi) -> Trial:
    return Trial(objective, rois, encoding=ENCODING)


def by_region(rois: Sequence[Roi]) -> Iterator[list[Roi]]:
    """Yield the ROIs of each name and hemisphere that several subjects have."""
    for region in dict.fromkeys((roi.hemisphere, roi.name) for roi in rois):
        alike = [roi for roi in rois if (roi.hemisphere, roi.name) == region]
        if len(alike) > 1:
            yield alike


def _write(
    runs: RunDirectory,
    trial: WorkItem,
    roi: Roi,
    subject: MadeUpSubject,
    method: str,
    *,
    keep: bool,
) -> None:
    """Write an ROI's scores under both protocols; keep: and its predictions."""
    vertex = subject.rois[roi.hemisphere][roi.name].astype(np.int32)
    measured = _standardise(subject.test[roi.hemisphere][:, vertex])
    predicted = _predict(measured, trial, roi, GAINS[method, roi_group_of(roi.name)])
    r = (measured * predicted).mean(axis=0)
    best, by_layer = _layers(trial, roi, r)
    extra = {"nested": 0.0, "paper": PAPER[roi_group_of(roi.name)]}
    scores = [
        RoiScores(
            roi=roi,
            protocol=protocol,
            layer=ALEXNET_LAYERS[best],
            layers=ALEXNET_LAYERS,
            vertex=vertex,
            alpha=np.full(len(r), 1e4),
            r=r + extra[protocol],
            r_by_layer=by_layer + extra[protocol],
            choice_by_layer=by_layer,
            n_test=N_TEST,
            predictions=predicted.astype(np.float16) if keep and protocol == "nested" else None,
        )
        for protocol in ENCODING.protocols
    ]
    if keep:
        write_predictions(runs, trial, scores, N_TRAIN + np.arange(N_TEST))
    write_scores(runs, trial, scores, is_simulated=True)


def _predict(measured: Numbers, trial: WorkItem, roi: Roi, gain: float) -> Numbers:
    """Predict measured responses, (N_TEST, n), with a planted r.

    Most errors are those of all methods on the ROI, so that methods differ little beside the gain.
    """
    shared = np.random.default_rng([1, *roi.id.encode()])
    own = np.random.default_rng([2, *trial.id.encode(), *roi.id.encode()])
    level = LEVEL[roi_group_of(roi.name)] + shared.normal(0, 0.03)
    planted = level + shared.normal(0, 0.07, measured.shape[1]) + gain + own.normal(0, 0.006)
    planted += own.normal(0, 0.02, measured.shape[1])
    rho = np.clip(planted, 0.0, 0.9)
    error = _standardise(shared.standard_normal(measured.shape))
    error = 0.97 * error + 0.24 * own.standard_normal(measured.shape)
    # Without the part along the responses, r is as planted.
    error -= measured * (measured * error).mean(axis=0)
    return _standardise(rho * measured + np.sqrt(1 - rho**2) * _standardise(error))


def _layers(trial: WorkItem, roi: Roi, r: Numbers) -> tuple[int, Numbers]:
    """Choose a layer, and lower r with the distance from it: (n_layers, n)."""
    generator = np.random.default_rng([3, *trial.id.encode(), *roi.id.encode()])
    best = BEST_LAYER[roi_group_of(roi.name)] + int(generator.integers(-1, 2))
    fall = [0.02 * abs(place - best) ** 1.2 for place in range(len(ALEXNET_LAYERS))]
    return best, np.stack([r - one for one in fall])


def _standardise(values: Numbers) -> Numbers:
    """Scale each column to mean 0 and standard deviation 1."""
    found: Numbers = (values - values.mean(axis=0)) / values.std(axis=0)
    return found
