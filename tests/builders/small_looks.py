"""A finished sweep of tiny backbones with data and a task: what probes and analyses read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from benchmarks.small_shards import write_shards
from orchestrator.ingest.images import decode_cropped
from orchestrator.ingest.task.run import write_task
from orchestrator.ingest.task.sources import find_task
from tests.builders.listeners import Quiet
from tests.builders.tiny_backbone import tiny_backbone
from trainables.data.data_directory import DataDirectory
from trainables.models.weights_name import weights_name
from trainables.probes.probe import ProbeContext
from trainables.results.run_directory import RunDirectory
from trainables.spec import (
    Backbone,
    Contrastive,
    Encoding,
    Objective,
    Regression,
    Roi,
    Trial,
    Untuned,
)
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner

CPU = torch.device("cpu")
SIZE = 32
ENCODING = Encoding(layers=("1", "4"), alphas=(1.0, 100.0))
CONTRASTIVE = Contrastive(learning_rate=1e-3, batch_size=16, epochs=1)
REGRESSION = Regression(learning_rate=1e-3, batch_size=16, epochs=1)


@dataclass(frozen=True)
class Looked:
    """A sweep's home, and where its probes work."""

    home: Path
    rois: list[Roi]
    backbone: Backbone
    context: ProbeContext

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    def run(self, objective: Objective, roi: int = 0) -> Trial:
        """Run a trial on an ROI; return it."""
        trial = Trial(objective, (self.rois[roi],), self.backbone, ENCODING)
        place = RunContext(
            DataDirectory(self.home / "data"), RunDirectory(self.runs), self.home / "weights.pt"
        )
        assert TrialRunner(place, CPU).run(trial, Quiet()).status == "finished"
        return trial


def write_colour_task(home: Path, n: int = 60, size: int = SIZE) -> Path:
    """Write a task of three classes told by their colour; return its directory."""
    generator = np.random.default_rng(0)
    for label, name in enumerate(("red", "green", "blue")):
        folder = home / "task-source" / name
        folder.mkdir(parents=True)
        for number in range(n // 3):
            pixels = generator.integers(0, 90, (40, 40, 3))
            pixels[..., label] += 120
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    found = find_task(home / "task-source", "imagefolder")
    pixels = [decode_cropped(path, size).tobytes() for path in found.images]
    batch = pa.array(pixels, pa.binary(3 * size * size))
    write_task(found, [(0, batch)], home / "data" / "tasks", "colours", size)
    return home / "data" / "tasks" / "colours"


def small_sweep(home: Path) -> Looked:
    """Run an untuned, a contrastive and a regression trial on one ROI."""
    rois = write_shards(home / "data", image_size=SIZE)
    torch.save(tiny_backbone().state_dict(), home / "weights.pt")
    backbone = Backbone("tiny", weights_name(home / "weights.pt"))
    task = write_colour_task(home)
    context = ProbeContext(
        RunDirectory(home / "runs"),
        DataDirectory(home / "data"),
        CPU,
        home / "weights.pt",
        task,
        "4",
        "1",
    )
    looked = Looked(home, rois, backbone, context)
    for objective in (Untuned(), CONTRASTIVE, REGRESSION):
        looked.run(objective)
    return looked
