"""Predictions over Ray: as in this process, also when the actors are killed."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.made_up_models import write_model
from benchmarks.processes import descendants, kill
from orchestrator.encoding_models.config import find_models
from orchestrator.encoding_models.shared_backbone import by_backbone
from orchestrator.predict import ray_pass
from orchestrator.predict.image_batches import ImageBatch, ReadTask
from orchestrator.predict.passes import LocalPass, PredictedBatch
from orchestrator.predict.ray_pass import Actors, RayPass
from orchestrator.predict.sources import FolderSource

pytestmark = [pytest.mark.ray, pytest.mark.slow]
N_IMAGES, BATCH, SIZE = 40, 8, 64
ROWS = [range(k, k + BATCH) for k in range(0, N_IMAGES, BATCH)]


@dataclass(frozen=True)
class HeldBack:
    """A task that waits for a file, but for the first one."""

    task: ReadTask
    gate: Path

    @property
    def rows(self) -> range:
        return self.task.rows

    def read(self) -> ImageBatch:
        while self.rows.start and not self.gate.exists():
            time.sleep(0.02)
        return self.task.read()


class HeldBackSource(FolderSource):
    """A folder whose images but the first few are read once a file is there."""

    gate: Path

    def tasks(self, rows: Sequence[range], size: int) -> list[ReadTask]:  # type: ignore[override]
        return [HeldBack(task, self.gate) for task in super().tasks(rows, size)]


@pytest.fixture
def source(tmp_path: Path) -> HeldBackSource:
    """A folder of images, one of which can't be read."""
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (N_IMAGES, 20, 30, 3)).astype(np.uint8)
    for number, one in enumerate(pixels):
        Image.fromarray(one).save(folder / f"{number:03d}.png")
    (folder / "021.png").write_bytes(b"no image")
    source = HeldBackSource(folder)
    source.gate = tmp_path / "gate"
    return source


def predictors() -> set[int]:
    """Find the processes of the actors."""
    found = descendants(os.getpid()).items()
    return {pid for pid, title in found if "Predictor" in title and title.startswith("ray::")}


def killing_all(batches: Iterator[PredictedBatch], gate: Path) -> Iterator[PredictedBatch]:
    """Kill both actors after the first batch, then let the others be read."""
    yield next(batches)
    there = predictors()
    assert len(there) == 2
    kill(there)
    gate.touch()
    yield from batches


def test_two_actors_predict_as_one_process_also_when_they_are_killed(
    local_ray: str, source: HeldBackSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_pass, "IMAGES_PER_TASK", BATCH)
    for roi_name, n_vertices in (("V1v", 5), ("hV4", 3)):  # of one backbone
        write_model(tmp_path / "models", "narrow-alexnet", "features.7", SIZE, roi_name, n_vertices)
    groups = by_backbone(find_models(tmp_path / "models"))
    local = LocalPass(torch.device("cpu")).run(groups, source, ROWS)
    expected = {batch.rows: batch for batch in local}
    over_ray = RayPass(Actors(2, "cpu", torch.get_num_threads())).run(groups, source, ROWS)
    found = list(killing_all(over_ray, source.gate))
    assert sorted(batch.rows.start for batch in found) == [rows.start for rows in ROWS]
    for batch in found:
        assert batch.problems == expected[batch.rows].problems
        for one, as_local in zip(
            batch.predicted[0], expected[batch.rows].predicted[0], strict=True
        ):
            np.testing.assert_array_equal(one, as_local)
    assert sum(len(batch.problems) for batch in found) == 1
