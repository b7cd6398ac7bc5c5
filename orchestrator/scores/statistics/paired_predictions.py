"""Predictions of two methods for an ROI's test images, joined with the measured responses."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from orchestrator.scores.rows import ROI_COLUMNS, rois_of
from orchestrator.scores.statistics.held_out_responses import HeldOutResponses
from orchestrator.scores.statistics.noise_ceilings import has_data
from orchestrator.scores.statistics.vertex_tests import Predicted
from trainables.results.prediction_files import RoiPredictions, read_predictions
from trainables.results.run_directory import RunDirectory

PROTOCOL: Final = "nested"
"""The one protocol that predicts a test image once."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class PredictedRoi:
    """An ROI's responses to test images: measured, and predicted by two methods."""

    roi_id: str
    vertex: Array
    """(n_vertices,) columns of the hemisphere's responses."""
    predicted: Predicted
    index: Array
    """(n_images,) rows of the response file."""


def shared_rois(vertices: pd.DataFrame, methods: tuple[str, str]) -> pd.DataFrame:
    """List the ROIs that two methods scored on the same data, and by which trials.

    vertices: rows of scores, one trial per ROI and method. Returns index ROI, columns ROI_COLUMNS,
    data, trial_id_a and trial_id_b, in the tables' order.
    """
    keys = ["roi_id", "data"]
    sides = [
        vertices.loc[vertices["method"] == method, [*keys, "trial_id"]].drop_duplicates()
        for method in methods
    ]
    left, right = (side.astype(str) for side in sides)
    both = left.merge(right, on=keys, suffixes=("_a", "_b"), validate="one_to_one")
    return rois_of(vertices).join(both.set_index("roi_id"), how="inner")[
        [*ROI_COLUMNS, "data", "trial_id_a", "trial_id_b"]
    ]


def read_subject_rois(
    rois: pd.DataFrame, runs: RunDirectory, shard: Path, missing: list[str]
) -> Iterator[PredictedRoi]:
    """Yield a subject's ROIs with both methods' predictions, on the images that both have.

    rois: of one subject, as of :func:`shared_rois`. missing: receives one line per ROI that is
    not available. Raises ValueError naming a file of predictions that is damaged.
    """
    data = str(rois["data"].iloc[0])
    if not has_data(shard, data):
        missing.extend(
            f"{shard}: no responses with the content that was scored; give the sweep's --data"
            for _ in rois.index
        )
        return
    found = dict(_read(rois, runs, missing))
    if not found:
        return
    responses = HeldOutResponses.read(shard, [a.roi.hemisphere for a, _ in found.values()])
    for roi, (a, b) in found.items():
        predicted = Predicted(responses.of(a), a.values, b.values)
        yield PredictedRoi(roi, a.vertex, predicted, a.index)


def _read(
    rois: pd.DataFrame, runs: RunDirectory, missing: list[str]
) -> Iterator[tuple[str, tuple[RoiPredictions, RoiPredictions]]]:
    for row in rois.itertuples():
        roi, trials = str(row.Index), (str(row.trial_id_a), str(row.trial_id_b))
        files = [runs.fetched(runs.prediction_file(trial, roi)) for trial in trials]
        absent = [path for path in files if not path.is_file()]
        if absent:
            missing.append(f"{absent[0]}: no predictions were kept")
            continue
        a, b = (read_predictions(path, PROTOCOL) for path in files)
        if a is None or b is None or not np.array_equal(a.vertex, b.vertex):
            missing.append(f"{files[0]}: no predictions of the same vertices under {PROTOCOL}")
            continue
        yield roi, on_the_same_images(a, b)


def on_the_same_images(
    a: RoiPredictions, b: RoiPredictions
) -> tuple[RoiPredictions, RoiPredictions]:
    """Keep the images that both have predictions of, in one order."""
    if np.array_equal(a.index, b.index):
        return a, b
    _, rows_a, rows_b = np.intersect1d(a.index, b.index, return_indices=True)
    return a.take(rows_a), b.take(rows_b)
