"""A training can be followed in its logs: its epochs, and where it has resumed."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.small_shards import plant
from trainables.data.images import ResidentImages
from trainables.exceptions import Stopped
from trainables.spec import Contrastive
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.batches import TrainingData
from trainables.training.checkpoints import Checkpoints
from trainables.training.finetune import finetune


def test_epochs_and_a_resume_are_logged(tmp_path, caplog) -> None:
    images, responses = plant(24, 16, 6, np.random.default_rng(0))
    resident = ResidentImages(torch.from_numpy(images))
    data = TrainingData(resident, torch.from_numpy(responses), torch.arange(24))
    objective = Contrastive(batch_size=8, epochs=3)
    caplog.set_level(logging.INFO, "trainables")

    def messages(stop_after: int | None) -> list[str]:
        caplog.clear()
        backbone = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5))
        finetune(objective, 0, backbone, [data], Checkpoints(StoredDirectory(tmp_path)),
                 lambda report: report.epoch != stop_after)  # fmt: skip
        return [record.getMessage().partition(": loss")[0] for record in caplog.records]

    with pytest.raises(Stopped):
        messages(stop_after=2)
    resumed = ["resumed after epoch 2 of 3", "epoch 3 of 3"]
    assert messages(stop_after=None) == resumed
    assert messages(stop_after=None) == ["resumed after epoch 3 of 3"]
