"""Made-up scores, written as a sweep writes them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.small_shards import write_shards
from trainables.data.shards import read_vertices
from trainables.encoding.score_rois import RoiScores
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import write_scores
from trainables.spec import (
    Contrastive,
    Encoding,
    Objective,
    Protocol,
    Regression,
    Roi,
    Trial,
    Untuned,
)
from trainables.spec.evaluation import WorkItem

LAYERS = ("features.2", "classifier.5")
ENCODING = Encoding(layers=LAYERS, protocols=("nested", "paper"))
METHODS: tuple[Objective, ...] = (Untuned(), Regression(), Contrastive())


def roi(roi_name: str = "V1v", subject: str = "subj01", hemisphere: str = "lh", n: int = 4) -> Roi:
    return Roi("nsd", subject, hemisphere, roi_name, n, "0123abcd")


def write(
    runs: Path,
    objective: Objective,
    where: Roi,
    r: Sequence[float],
    protocols: Sequence[Protocol] = ("nested",),
    layer: str = LAYERS[1],
    seed: int = 0,
    started: float | None = None,
    vertex: NDArray[np.int32] | None = None,
) -> Trial:
    """Write one ROI's r, and 0.1 less at the layer that is not chosen; return the trial.

    vertex: columns of the hemisphere; None: the first ones.
    """
    trial = Trial(objective, (where,), encoding=ENCODING, seed=seed)
    write_of(runs, trial, where, r, protocols, layer, vertex)
    if started is not None:
        Outcome(trial, "finished", "node-1", "cpu", started, {}).write(RunDirectory(runs))
    return trial


def write_of(
    runs: Path,
    work_item: WorkItem,
    where: Roi,
    r: Sequence[float],
    protocols: Sequence[Protocol] = ("nested",),
    layer: str = LAYERS[1],
    vertex: NDArray[np.int32] | None = None,
    *,
    is_simulated: bool = False,
) -> None:
    """Write the r of one ROI of a trial or evaluation, and 0.1 less at the other layer."""
    values = np.asarray(r, dtype=np.float64)
    by_layer = np.stack([values if name == layer else values - 0.1 for name in LAYERS])
    scores = [
        RoiScores(
            roi=where,
            protocol=protocol,
            layer=layer,
            layers=LAYERS,
            vertex=np.arange(len(values), dtype=np.int32) if vertex is None else vertex,
            alpha=np.where(np.isnan(values), np.nan, 10.0),
            r=values,
            r_by_layer=by_layer,
            choice_by_layer=np.zeros_like(by_layer),
            n_test=15,
        )
        for protocol in protocols
    ]
    write_scores(RunDirectory(runs), work_item, scores, is_simulated=is_simulated)


def write_sweep(
    runs: Path, roi_names: Sequence[str] = ("V1v", "hV4", "EBA"), seed: int = 0
) -> None:
    """Write three methods on two subjects; fine-tuned ones are better by 0.02 and 0.05 on
    average."""
    generator = np.random.default_rng(seed)
    for subject in ("subj01", "subj02"):
        for roi_name in roi_names:
            where = roi(roi_name, subject, n=40)
            base = generator.normal(0.4, 0.1, 40)
            for objective, gain in zip(METHODS, (0.0, 0.02, 0.05), strict=True):
                r = base + gain + generator.normal(0, 0.02, 40) * (gain > 0)
                write(runs, objective, where, r, ("nested", "paper"))


def columns_of(data: Path, where: Roi) -> NDArray[np.int32]:
    """Read on which columns of its hemisphere an ROI of shards lies."""
    return read_vertices(data / where.shard, where)


def write_rois(data: Path, runs: Path) -> None:
    """Write shards of two subjects, and three methods' scores on all of their ROIs."""
    generator = np.random.default_rng(0)
    for where in write_shards(data, ("subj01", "subj02"), n_images=20):
        base, vertex = generator.normal(0.4, 0.1, where.n_vertices), columns_of(data, where)
        for objective, gain in zip(METHODS, (0.0, 0.02, 0.05), strict=True):
            r = base + gain + generator.normal(0, 0.02, len(base)) * (gain > 0)
            write(runs, objective, where, r, ("nested", "paper"), vertex=vertex)
