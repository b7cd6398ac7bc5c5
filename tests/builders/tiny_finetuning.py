"""A fine-tuning of a tiny backbone on planted responses."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.small_shards import plant
from tests.builders.tiny_backbone import tiny_backbone
from trainables.data.images import ResidentImages
from trainables.results.epoch_report import EpochReport
from trainables.spec import FULL, Contrastive, Finetuned, Precision, Regression
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.batches import TrainingData
from trainables.training.checkpoints import Checkpoints
from trainables.training.finetune import finetune
from trainables.training.synchronised import ForwardConfig

CPU = torch.device("cpu")
SIZE = 16
CONTRASTIVE = Contrastive(learning_rate=3e-3, batch_size=16, epochs=4, validation=0.2)
REGRESSION = Regression(learning_rate=3e-3, batch_size=16, epochs=4, validation=0.2)
BOTH = pytest.mark.parametrize("objective", [CONTRASTIVE, REGRESSION], ids=lambda o: o.method)


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def planted(n: int = 60, n_vertices: int = 10, seed: int = 0) -> TrainingData:
    images, responses = plant(n, SIZE, n_vertices, np.random.default_rng(seed))
    rows = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return TrainingData(ResidentImages(torch.from_numpy(images)), torch.from_numpy(responses), rows)


@dataclass
class Listener:
    """Notes reports, and asks to stop after an epoch."""

    stop_after: int | None = None
    reports: list[EpochReport] = field(default_factory=list)

    def __call__(self, report: EpochReport) -> bool:
        self.reports.append(report)
        return report.epoch != self.stop_after


def run_finetuning(
    directory: Path,
    objective: Finetuned = CONTRASTIVE,
    data: TrainingData | None = None,
    seed: int = 0,
    precision: Precision = FULL,
    listener: Listener | None = None,
) -> tuple[dict[str, Tensor], tuple[EpochReport, ...]]:
    """Tune a fresh backbone; return its weights and the reports."""
    backbone = tiny_backbone(SIZE, 16)
    history = finetune(
        objective,
        seed,
        backbone,
        [data or planted()],
        Checkpoints(StoredDirectory(directory)),
        listener or Listener(),
        forward_config=ForwardConfig(precision=precision),
    )
    return backbone.state_dict(), history


def measured(history: tuple[EpochReport, ...]) -> list[tuple[float | None, ...]]:
    """Take from reports what does not depend on the clock."""
    return [(r.epoch, r.loss, r.retrieval_top1, r.retrieval_median_rank) for r in history]


def assert_same(first, second) -> None:
    assert measured(first[1]) == measured(second[1])
    assert first[0].keys() == second[0].keys()
    assert all(torch.equal(first[0][name], second[0][name]) for name in first[0])
