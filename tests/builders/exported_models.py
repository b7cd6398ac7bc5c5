"""A small sweep, its encoding models as files, and their subject's test images."""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from orchestrator.export.__main__ import main as export
from tests.builders.transfer_shards import (
    ENCODING,
    REGRESSION,
    TransferLab,
    narrow_backbone,
    weights_on,
    write_subjects,
)
from trainables.data.loading import read_images, read_subject
from trainables.models import backbones
from trainables.spec import Trial, Untuned
from trainables.spec.evaluation import Evaluation

QUICK = replace(REGRESSION, epochs=3)
WIDE = replace(ENCODING, layers=("0",), protocols=("nested",))
"""A layer of 768 features, many more than images: its PCA is of images, not of features."""


@dataclass(frozen=True)
class Swept:
    """A folder with data, weights, runs, and ``models`` of every trial."""

    home: Path
    untuned: Trial
    """Of lh V1v and rh EBA, at a wide layer."""
    tuned: Trial
    """Of lh V1v, at a narrow layer."""
    evaluation: Evaluation
    """Of the tuned model on another subject, some of whose test images it was tuned on."""

    @property
    def models(self) -> Path:
        return self.home / "models"

    def export(self, *arguments: str) -> int:
        places = ["--runs", "runs", "--data", "data", "--weights", "weights.pt"]
        before = Path.cwd()
        os.chdir(self.home)
        try:
            return export([*places, *arguments])
        finally:
            os.chdir(before)

    def model(self, trial: Trial, roi: str) -> Path:
        [found] = self.models.glob(f"*{roi}-{trial.method}-*")
        return found

    def test_images(self, subject: str = "subj01") -> NDArray[np.uint8]:
        shard = self.home / "data" / f"nsd-{subject}"
        images: NDArray[np.uint8] = read_images(shard, torch.device("cpu")).numpy()
        return images[read_subject(shard).test_rows]

    def responses(
        self, hemisphere: str, vertices: NDArray[np.int32], subject: str = "subj01"
    ) -> NDArray[np.float32]:
        """Return the measured responses to the test images: (n_test, n_vertices)."""
        read = read_subject(self.home / "data" / f"nsd-{subject}")
        return read.responses[hemisphere][read.test_rows][:, vertices]


@pytest.fixture(scope="session")
def swept_once(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    home = tmp_path_factory.mktemp("swept")
    before = torch.get_num_threads()
    stimuli = {
        "subj01": (range(100), range(200, 240)),
        "subj02": (range(1000, 1100), range(95, 135)),
    }
    write_subjects(home / "data", dict.fromkeys(stimuli, weights_on(range(4))), stimuli)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.OWN_ARCHITECTURES, "narrow", narrow_backbone)
        lab = TransferLab.open(home)
        rois = lab.roi(1), lab.roi(1, "EBA", "rh")
        untuned, tuned = lab.trial(Untuned(), *rois, encoding=WIDE), lab.trial(QUICK, rois[0])
        lab.run(untuned)
        lab.run(tuned)
        evaluation = Evaluation(tuned, (lab.roi(2),))
        lab.run(evaluation)
        swept = Swept(home, untuned, tuned, evaluation)
        assert swept.export("--trials", untuned.id, tuned.id, "--out", "models") == 0
    torch.set_num_threads(before)
    return swept


@pytest.fixture
def swept(swept_once: Swept, monkeypatch: pytest.MonkeyPatch) -> Swept:
    """The sweep and its models; they are not to be changed."""
    monkeypatch.setitem(backbones.OWN_ARCHITECTURES, "narrow", narrow_backbone)
    return swept_once


@pytest.fixture
def model_copy(swept: Swept, tmp_path: Path) -> Path:
    """A copy of the tuned model, to be damaged."""
    return Path(shutil.copytree(swept.model(swept.tuned, "lh-V1v"), tmp_path / "model"))
