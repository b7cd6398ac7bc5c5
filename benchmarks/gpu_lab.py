"""A simulated subject, weights and runners of its trials, to check a GPU without Ray."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks.small_shards import write_shards
from trainables.data import loading
from trainables.data.data_directory import DataDirectory
from trainables.data.rows import read_rows
from trainables.models import backbones
from trainables.models.weights_name import weights_name
from trainables.results.epoch_report import EpochReport
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores
from trainables.spec import Backbone, Encoding, Roi, Trial
from trainables.spec.evaluation import WorkItem
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner


class Heard:
    """A listener that keeps the names of a trial's steps and the numbers of its epochs."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.epochs: list[int] = []

    def stage(self, name: str) -> None:
        """Keep the name of a step."""
        self.stages.append(name)

    def epoch(self, report: EpochReport) -> bool:
        """Keep the number of an epoch, and continue."""
        self.epochs.append(report.epoch)
        return True

    def upcoming(self, held: frozenset[str]) -> WorkItem | None:
        """Know of none."""
        return None


class Lab:
    """A simulated subject, weights, and trial runners for any device."""

    def __init__(self, home: Path, n_images: int, image_size: int, backbone: str) -> None:
        self.home = home
        self.rois: list[Roi] = write_shards(home / "data", ("subj01",), n_images, image_size)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            save_file(backbones.build(backbone).state_dict(), home / "weights.safetensors")
        self.weights = home / "weights.safetensors"
        self.backbone = Backbone(backbone, weights_name(self.weights))

    def trial(self, objective: Any, **changes: Any) -> Trial:
        """Make a trial of the first ROI, scored by ``nested`` and ``paper``."""
        encoding = Encoding(protocols=("nested", "paper"))
        return Trial(objective, (self.rois[0],), self.backbone, encoding, **changes)

    def runs(self, name: str) -> RunDirectory:
        """Return the run directory of a name."""
        return RunDirectory(self.home / name)

    def run(
        self,
        trial: Trial,
        name: str,
        device: torch.device,
        listener: Heard | None = None,
        **options: Any,
    ) -> tuple[np.ndarray, Outcome]:
        """Run a trial; return r of its scores, and its outcome. options: of ``RunContext``."""
        data, runs = DataDirectory(self.home / "data"), self.runs(name)
        context = RunContext(data, runs, self.weights, torch.get_num_threads(), **options)
        outcome = TrialRunner(context, device).run(trial, listener or Heard())
        if trial.encoding is None:
            return np.empty(0), outcome
        return read_scores(runs, trial.id).column("r").to_numpy(), outcome


@contextmanager
def made_lab(small: bool, n_images: int = 1500, backbone: str | None = None) -> Iterator[Lab]:
    """Make a lab in a temporary directory; small: few images of 64 pixels, a narrow AlexNet."""
    before = loading.stream
    loading.stream = read_rows  # without Ray
    try:
        with tempfile.TemporaryDirectory() as home:
            size = (120, 64, "narrow-alexnet") if small else (n_images, 224, "alexnet")
            yield Lab(Path(home), size[0], size[1], backbone or size[2])
    finally:
        loading.stream = before
