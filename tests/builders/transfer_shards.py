"""Subjects whose response weights are planted alike or orthogonal, and whose images are shared.

An image adds up patterns, each as strong as its stimulus' number says. A backbone that ends in as
few units as half the patterns can't keep them all: what it keeps is what it was fine-tuned for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.small_shards import N_PATTERNS, N_VERTICES, ROIS, PlantedRows, write_subject
from tests.builders.listeners import Quiet
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import TEST, TRAIN, list_rois
from trainables.models.weights_name import weights_name
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores
from trainables.spec import (
    Backbone,
    Contrastive,
    Encoding,
    Objective,
    Pooled,
    Regression,
    Roi,
    Trial,
)
from trainables.spec.evaluation import WorkItem
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner

SIZE: Final = 16
NOISE: Final = 0.3
N_KEPT: Final = N_PATTERNS // 2
NOD_ROIS: Final = {"lh": {"V1": range(8), "V4": range(8, 12)}, "rh": {"V1": range(6)}}

ENCODING: Final = Encoding(layers=("1",), protocols=("nested", "paper"), alphas=(1.0, 100.0))
REGRESSION: Final = Regression(learning_rate=3e-3, batch_size=32, epochs=40)
CONTRASTIVE: Final = Contrastive(
    learning_rate=3e-3, batch_size=75, epochs=40, hidden_ratio=2, embedding_ratio=1
)
POOLED: Final = Pooled(learning_rate=3e-3, batch_size=75, epochs=2)

Weights = NDArray[np.float64]


def narrow_backbone() -> nn.Module:
    """Build a backbone whose only layer, "1", has half as many units as there are patterns."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, N_KEPT))


def weights_on(patterns: Sequence[int], seed: int = 0) -> Weights:
    """Draw weights (patterns, vertices) of all vertices that are 0 but on some patterns."""
    weights = np.zeros((N_PATTERNS, sum(N_VERTICES.values())))
    drawn = np.random.default_rng(seed).standard_normal((len(patterns), weights.shape[1]))
    weights[list(patterns)] = drawn / np.sqrt(len(patterns))
    return weights


def write_subjects(
    data: Path,
    weights: Mapping[str, Weights],
    stimuli: Mapping[str, tuple[range, range]],
    dataset: str = "nsd",
    roi_names: Mapping[str, Mapping[str, range]] = ROIS,
) -> None:
    """Write subjects by name: their weights, and the stimuli they trained and are tested on.

    A stimulus looks the same in every folder; so does a subject's response to it.
    """
    patterns = np.random.default_rng(1).standard_normal((N_PATTERNS, 3, SIZE, SIZE))
    for number, (subject, own) in enumerate(weights.items()):
        train, test = stimuli[subject]
        shown = [*train, *test]
        strengths = np.stack([_draw(7, k, size=N_PATTERNS) for k in shown])
        noise = np.stack([_draw(number, k, size=own.shape[1]) for k in shown])
        images = 128 + 12 * np.einsum("nk,kcyx->ncyx", strengths, patterns)
        rows = PlantedRows(
            stimuli=[f"nsd-{k:05d}" for k in shown],
            split=[TRAIN] * len(train) + [TEST] * len(test),
            order=np.arange(len(shown)),
            images=images.clip(0, 255).astype(np.uint8),
            responses=(strengths @ own + NOISE * noise).astype(np.float32),
        )
        write_subject(data, subject, rows, dataset, roi_names)


def _draw(*seed: int, size: int) -> Weights:
    return np.random.default_rng(seed).standard_normal(size)


@dataclass
class TransferLab:
    """A folder with data, weights and runs, and a warm runner that writes into it."""

    home: Path
    backbone: Backbone
    rois: list[Roi]
    runner: TrialRunner

    @classmethod
    def open(cls, home: Path) -> "TransferLab":
        """Take up a folder that holds ``data/``; give it weights to start from."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            torch.save(narrow_backbone().state_dict(), home / "weights.pt")
        backbone = Backbone("narrow", weights_name(home / "weights.pt"))
        place = RunContext(
            DataDirectory(home / "data"), RunDirectory(home / "runs"), home / "weights.pt"
        )
        runner = TrialRunner(place, torch.device("cpu"))
        return cls(home, backbone, list_rois(DataDirectory(home / "data")), runner)

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    def roi(self, subject: int, roi_name: str = "V1v", hemisphere: str = "lh") -> Roi:
        name = f"nsd-subj{subject:02d}-{hemisphere}-{roi_name}"
        return next(roi for roi in self.rois if roi.id == name)

    def trial(self, objective: Objective, *rois: Roi, encoding: Encoding = ENCODING) -> Trial:
        return Trial(objective, rois, self.backbone, encoding)

    def run(self, work_item: WorkItem) -> pa.Table:
        """Run a trial or an evaluation; return its scores."""
        assert self.runner.run(work_item, Quiet()).status == "finished"
        return read_scores(RunDirectory(self.runs), work_item.id)


def mean_r(scores: pa.Table, protocol: str = "nested") -> float:
    return float(np.mean(scores.filter(pc.field("protocol") == protocol)["r"].to_numpy()))


def only(scores: pa.Table, column: str, protocol: str = "nested") -> object:
    """Return the one value that a column has in all rows of a protocol."""
    [value] = set(scores.filter(pc.field("protocol") == protocol)[column].to_pylist())
    return value
