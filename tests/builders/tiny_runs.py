"""A data directory, weights of a tiny backbone, and runners that write beside them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

from benchmarks.small_shards import write_shards
from tests.builders.tiny_backbone import tiny_backbone
from trainables.data import loading
from trainables.data.data_directory import DataDirectory
from trainables.data.rows import read_rows
from trainables.exceptions import Stopped
from trainables.models import backbones
from trainables.models.weights_name import weights_name
from trainables.results.epoch_report import EpochReport
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import (
    read_scores,
)
from trainables.spec import (
    Backbone,
    Contrastive,
    Encoding,
    Pooled,
    Regression,
    Roi,
    Trial,
    Untuned,
)
from trainables.spec.evaluation import WorkItem
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner

CPU = torch.device("cpu")
ENCODING = Encoding(layers=("1", "4"), protocols=("nested", "paper"), alphas=(1.0, 100.0))
CONTRASTIVE = Contrastive(learning_rate=1e-3, batch_size=16, epochs=2, validation=0.2)
POOLED = Pooled(learning_rate=1e-3, batch_size=16, epochs=2, validation=0.2)
REGRESSION = Regression(learning_rate=1e-3, batch_size=16, epochs=2)


@dataclass
class Place:
    """A data directory, a weights file, and runners that write beside them."""

    home: Path
    rois: list[Roi]
    backbone: Backbone

    def context(self, name: str = "runs", **changes) -> RunContext:
        return RunContext(
            DataDirectory(self.home / "data"),
            RunDirectory(self.home / name),
            self.home / "weights.pt",
            **changes,
        )

    def runner(self, name: str = "runs", **changes) -> TrialRunner:
        return TrialRunner(self.context(name, **changes), CPU)

    def trial(self, objective=CONTRASTIVE, roi: int = 0, **changes) -> Trial:
        return Trial(objective, (self.rois[roi],), self.backbone, ENCODING, **changes)

    def pooled(self, **changes) -> Trial:
        alike = tuple(roi for roi in self.rois if roi.id.endswith("lh-V1v"))
        return Trial(replace(POOLED, **changes), alike, self.backbone, ENCODING)

    def untuned(self, *rois: int) -> Trial:
        chosen = tuple(self.rois[number] for number in rois)
        return Trial(Untuned(), chosen, self.backbone, ENCODING)


@dataclass
class Listener:
    """Notes what it hears; stops after an epoch, or raises at a stage, when told to."""

    stop_after: int | None = None
    stop_at: str | None = None
    stages: list[str] = field(default_factory=list)
    epochs: list[EpochReport] = field(default_factory=list)

    def stage(self, name: str) -> None:
        self.stages.append(name)
        if name == self.stop_at:
            raise Stopped

    def epoch(self, report: EpochReport) -> bool:
        self.epochs.append(report)
        return report.epoch != self.stop_after

    def upcoming(self, held: frozenset[str]) -> WorkItem | None:
        return None


@pytest.fixture
def without_ray(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(loading, "stream", read_rows)
    monkeypatch.setitem(backbones.OWN_ARCHITECTURES, "tiny", tiny_backbone)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def place(tmp_path) -> Place:
    rois = write_shards(tmp_path / "data", ("subj01", "subj02"), n_images=60, image_size=32)
    torch.save(tiny_backbone().state_dict(), tmp_path / "weights.pt")
    return Place(tmp_path, rois, Backbone("tiny", weights_name(tmp_path / "weights.pt")))


def scores(place: Place, trial: Trial, name: str = "runs") -> list[dict]:
    return read_scores(RunDirectory(place.home / name), trial.id).drop_columns(["host"]).to_pylist()
