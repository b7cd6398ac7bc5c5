"""Made-up predictions of the responses in small shards, and their scores, as a sweep writes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from orchestrator.scores.statistics.image_jackknife import standardise
from tests.builders.small_scores import ENCODING, LAYERS
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import TEST, read_vertices
from trainables.encoding.score_rois import RoiScores
from trainables.results.prediction_files import write_predictions
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import write_scores
from trainables.spec import Objective, Roi, Trial, WorkItem


def measured(shard: Path, roi: Roi) -> tuple[np.ndarray, np.ndarray]:
    """Take an ROI's test rows, in no order, and its responses to them."""
    rows, values = [], []
    for block in read_rows(shard, ("index", "split", roi.hemisphere)):
        test = np.array(block["split"].to_pylist()) == TEST
        rows.append(block["index"].to_numpy()[test])
        values.append(fixed_width(block[roi.hemisphere], np.float32)[test])
    index, responses = np.concatenate(rows), np.concatenate(values)
    shuffled = np.random.default_rng(0).permutation(len(index))
    return index[shuffled], responses[shuffled][:, read_vertices(shard, roi)]


def write_predicted(
    runs: Path,
    data: Path,
    objective: Objective,
    rois: Sequence[Roi],
    noise: float,
    *,
    keep: bool = True,
    seed: int = 0,
) -> list[Trial]:
    """Write predictions that are the responses and noise of this standard deviation; a trial a
    ROI."""
    trials = [Trial(objective, (roi,), encoding=ENCODING, seed=seed) for roi in rois]
    for number, trial in enumerate(trials):
        drawn = np.random.default_rng([number, int(100 * noise), *([seed] if seed else [])])
        write_predictions_of(runs, data, trial, noise, drawn, keep=keep)
    return trials


def write_predictions_of(
    runs: Path,
    data: Path,
    trial: WorkItem,
    noise: float,
    rng: np.random.Generator,
    *,
    keep: bool = True,
) -> None:
    """Write such predictions of a trial's ROIs, and their scores."""
    for roi in trial.rois:
        index, y = measured(data / roi.shard, roi)
        predicted = standardise(y + noise * rng.standard_normal(y.shape))
        r = (standardise(y) * predicted).mean(axis=0)
        scores = RoiScores(
            roi=roi,
            protocol="nested",
            layer=LAYERS[0],
            layers=LAYERS,
            vertex=read_vertices(data / roi.shard, roi),
            alpha=np.full(len(r), 10.0),
            r=r,
            r_by_layer=np.stack([r, r]),
            choice_by_layer=np.zeros((2, len(r))),
            n_test=len(index),
            predictions=predicted.astype(np.float16) if keep else None,
        )
        write_predictions(RunDirectory(runs), trial, [scores], index)
        write_scores(RunDirectory(runs), trial, [scores])
