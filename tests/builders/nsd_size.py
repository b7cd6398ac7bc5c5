"""Scores of NSD's size with few vertices: 8 subjects, 312 ROIs, 5 methods, and evaluations.

With probes of the 721 backbones on four tasks (tests/builders/nsd_probes.py).

``paper`` is written for the first subject's early ROIs of the left hemisphere only, predictions for
untuned and contrastive only.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from benchmarks.made_up_scores import by_region
from benchmarks.small_shards import N_VERTICES, PlantedRows, write_subject
from orchestrator.analyze.analysis import Analysis, Inputs
from orchestrator.analyze.run import make
from orchestrator.scores.statistics.image_jackknife import standardise
from tests.builders.nsd_probes import write_probes
from tests.builders.small_scores import LAYERS
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import TEST, TRAIN, list_rois
from trainables.encoding.score_rois import RoiScores
from trainables.probes.probe import Probed
from trainables.results.prediction_files import write_predictions
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import write_scores
from trainables.spec import (
    LARGEST_ROI,
    Contrastive,
    Encoding,
    Evaluation,
    Objective,
    Pooled,
    Protocol,
    Regression,
    Roi,
    Trial,
    Untuned,
    WorkItem,
)
from trainables.spec.rois import EARLY, HIGHER, NOD_ROIS, ROI_ORDER

SUBJECTS = tuple(f"subj{number:02d}" for number in range(1, 9))
N_ROIS = 312
N_TRAIN, N_TEST = 24, 40
ENCODING = Encoding(layers=LAYERS, protocols=("nested", "paper"))
EXTRA: dict[Protocol, float] = {"nested": 0.0, "paper": 0.02}
PAPER = ("nsd-subj01", "lh")
COLUMNS = (
    *("method", "model", "subject", "hemisphere", "roi", "group", "protocol", "layer"),
    *("vertex", "r"),
)
GAINS: dict[str, float] = {
    "untuned": 0.0,
    "regression": 0.01,
    "contrastive": 0.03,
    "pooled-avg": 0.04,
    "pooled-const": 0.04,
    "transfer-contrastive": 0.02,
}
METHODS = ["untuned", "regression", "contrastive", "pooled-avg", "pooled-const"]
PLACE = ["subject", "hemisphere", "roi", "vertex"]
OF_ROI = ["subject", "hemisphere", "roi"]
N_RARE = 17
"""Regions of higher ROIs of which each subject lacks 9; all subjects have the 17 others."""


def regions_of(number: int) -> dict[str, list[str]]:
    """List a subject's ROIs by hemisphere: all 14 early ones, and 25 of the 34 higher ones.

    As in NSD, the first of each family are in every subject, others in few.
    """
    early = [name for name in EARLY if name not in NOD_ROIS]
    higher = [(side, name) for name in HIGHER for side in ("lh", "rh")]
    rare = higher[-N_RARE:]
    lacked = {rare[(2 * number + place) % len(rare)] for place in range(9)}
    return {
        side: [*early, *(name for name in HIGHER if (side, name) not in lacked)]
        for side in ("lh", "rh")
    }


@dataclass(frozen=True)
class NsdSize:
    """Directories of shards and scores, and what was written."""

    home: Path
    rois: tuple[Roi, ...]
    scores: pd.DataFrame
    """One row per vertex, ROI, method, model and protocol: what the files say, kept apart."""
    backbones: tuple[Trial, ...]
    """A trial of each backbone; the untuned one is the same for every subject."""

    @property
    def runs(self) -> RunDirectory:
        """The directory of the scores."""
        return RunDirectory(self.home / "runs")

    @property
    def data(self) -> DataDirectory:
        """The directory of the shards."""
        return DataDirectory(self.home / "data")

    @cached_property
    def inputs(self) -> Inputs:
        """The inputs of analyses, read once."""
        return Inputs(self.runs, self.data)


@pytest.fixture(scope="session")
def nsd_size(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NsdSize]:
    """Write the scores once, without waiting for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield write_programme(tmp_path_factory.mktemp("nsd-size"))


def nested(nsd: NsdSize) -> pd.DataFrame:
    """Return r of each vertex and ROI under ``nested``: one column per method."""
    frame = nsd.scores[(nsd.scores["protocol"] == "nested") & nsd.scores["method"].isin(METHODS)]
    wide = frame.pivot_table(index=[*PLACE, "group"], columns="method", values="r")
    return wide.reset_index()


def over_subjects(frame: pd.DataFrame) -> pd.Series:
    """Average numbers over vertices, the ROIs of a subject, then subjects."""
    numbers = frame.select_dtypes("number").columns.drop("vertex", errors="ignore")
    of_rois = frame.groupby(OF_ROI)[list(numbers)].mean()
    return of_rois.groupby("subject").mean().mean()


def table_of(nsd: NsdSize, analysis: Analysis) -> pd.DataFrame:
    """Make an analysis' table, unless it is there; return its rows, of protocols ``nested``."""
    assert make(analysis, nsd.inputs).state in ("made", "unchanged")
    rows = pq.read_table(nsd.inputs.result_file(analysis.name)).to_pandas()
    return rows[rows["protocol"] == "nested"] if "protocol" in rows else rows


def write_programme(home: Path) -> NsdSize:
    """Write shards, every method's scores and the predictions of two, and evaluations."""
    responses = {name: _write_subject(home / "data", name) for name in SUBJECTS}
    rois = list_rois(DataDirectory(home / "data"))
    assert len(rois) == N_ROIS
    writer = _Writer(home, responses)
    for name in SUBJECTS:
        own = tuple(roi for roi in rois if roi.subject == name)
        untuned = Trial(Untuned(), own, encoding=ENCODING)
        for roi in own:
            writer.write(untuned, "untuned", roi, keep=True)
            writer.write(_trial(Regression(), roi), "regression", roi)
            writer.write(_trial(Contrastive(), roi), "contrastive", roi, keep=True)
    for alike in by_region(rois):
        for objective in (Pooled(), Pooled(hidden_dim=LARGEST_ROI)):
            trial = _trial(objective, *alike)
            for roi in alike:
                writer.write(trial, trial.method, roi)
    for model, target in _transfers(rois):
        evaluation = Evaluation(_trial(Contrastive(), model), (target,))
        writer.write(evaluation, "transfer-contrastive", target)
    backbones = tuple({Probed(one).id: one for one in writer.trials.values()}.values())
    write_probes(writer.runs, backbones)
    return NsdSize(home, tuple(rois), pd.DataFrame(writer.rows, columns=COLUMNS), backbones)


def _trial(objective: Objective, *rois: Roi) -> Trial:
    return Trial(objective, rois, encoding=ENCODING)


def _transfers(rois: list[Roi]) -> Iterator[tuple[Roi, Roi]]:
    """Yield models and targets: three subjects, lh V1v, and a region that the first one lacks."""
    for alike in by_region([roi for roi in rois if roi.subject in SUBJECTS[:3]]):
        if (alike[0].hemisphere, alike[0].name) in (("lh", "V1v"), ("rh", "aTL-faces")):
            yield from ((one, other) for one in alike for other in alike if one != other)


def _write_subject(data: Path, name: str) -> NDArray[np.float32]:
    """Write a subject's shard; return its responses to test images, (N_TEST, 22)."""
    number = SUBJECTS.index(name)
    generator = np.random.default_rng(number)
    n, n_vertices = N_TRAIN + N_TEST, sum(N_VERTICES.values())
    images = generator.integers(0, 256, (n, 3, 4, 4), dtype=np.uint8)
    responses = generator.standard_normal((n, n_vertices), dtype=np.float32)
    split = [TRAIN] * N_TRAIN + [TEST] * N_TEST
    rows = PlantedRows([f"{name}-{k}" for k in range(n)], split, np.arange(n), images, responses)
    roi_names = {
        side: {roi_name: _columns(side, roi_name) for roi_name in names}
        for side, names in regions_of(number).items()
    }
    write_subject(data, name, rows, roi_names=roi_names)
    return responses[N_TRAIN:]


def _columns(hemisphere: str, roi_name: str) -> range:
    """Return the three columns of its hemisphere that an ROI lies on; ROIs overlap."""
    first = ROI_ORDER.index(roi_name) % (N_VERTICES[hemisphere] - 3)
    return range(first, first + 3)


class _Writer:
    """Writes scores, and keeps what it has written."""

    def __init__(self, home: Path, responses: dict[str, NDArray[np.float32]]) -> None:
        self.home, self.responses = home, responses
        self.runs = RunDirectory(home / "runs")
        self.generator = np.random.default_rng(0)
        self.rows: list[tuple[object, ...]] = []
        self.trials: dict[str, Trial] = {}

    def write(self, trial: WorkItem, method: str, roi: Roi, *, keep: bool = False) -> None:
        """Write an ROI's scores under both protocols, and with keep the predictions."""
        if isinstance(trial, Trial):
            self.trials[trial.id] = trial
        vertex = np.array(_columns(roi.hemisphere, roi.name), np.int32)
        predicted, r = self._predict(roi, vertex, GAINS[method])
        layer = LAYERS[len(self.rows) % 2]
        scores = [
            RoiScores(
                roi=roi,
                protocol=protocol,
                layer=layer,
                layers=LAYERS,
                vertex=vertex,
                alpha=np.full(len(r), 10.0),
                r=r + extra,
                r_by_layer=np.stack([r + extra - 0.1 * (name != layer) for name in LAYERS]),
                choice_by_layer=np.zeros((2, len(r))),
                n_test=N_TEST,
                predictions=predicted.astype(np.float16) if keep and not extra else None,
            )
            for protocol, extra in EXTRA.items()
            if protocol == "nested" or ((roi.shard, roi.hemisphere) == PAPER and roi.name in EARLY)
        ]
        if keep:
            write_predictions(self.runs, trial, scores, N_TRAIN + np.arange(N_TEST))
        write_scores(self.runs, trial, scores)
        for one in scores:
            self._note(trial, method, one)

    def _predict(
        self, roi: Roi, vertex: NDArray[np.int32], gain: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return predictions, (N_TEST, n_vertices), and their r."""
        columns = vertex + (N_VERTICES["lh"] if roi.hemisphere == "rh" else 0)
        measured = standardise(self.responses[roi.subject][:, columns])
        noise = self.generator.standard_normal(measured.shape)
        predicted = standardise(measured + (1.5 - 10 * gain) * noise)
        return predicted, (measured * predicted).mean(axis=0)

    def _note(self, trial: WorkItem, method: str, one: RoiScores) -> None:
        roi = one.roi
        model = trial.model.rois[0].subject if isinstance(trial, Evaluation) else roi.subject
        group = "early" if roi.name in EARLY else "higher"
        place = (model, roi.subject, roi.hemisphere, roi.name, group)
        for vertex, r in zip(one.vertex.tolist(), one.r.tolist(), strict=True):
            self.rows.append((method, *place, one.protocol, one.layer, vertex, r))
