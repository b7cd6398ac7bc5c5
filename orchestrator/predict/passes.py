"""Pass images through some backbones together, in this process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from orchestrator.encoding_models.config import ModelDirectory
from orchestrator.encoding_models.shared_backbone import SharedBackbone
from orchestrator.predict.image_batches import ImageBatch, ImageSource
from orchestrator.predict.parts import Predicted
from trainables.compute.device import device_name, free_bytes
from trainables.spec.interpolation import Resizing

Group = Sequence[ModelDirectory]
"""Models of one backbone."""


@dataclass(frozen=True)
class PredictedBatch:
    """Predictions of some images by all models of some backbones."""

    rows: range
    predicted: Sequence[Sequence[Predicted]]
    """(n_rows, n_vertices) by each backbone and model; NaN for an image that can't be read."""
    problems: dict[int, str]
    """``PATH: what is wrong; cure`` of a row that can't be read."""


class Pass(Protocol):
    """Passes images through backbones, in this process or on a cluster."""

    @property
    def device_type(self) -> str:
        """Return ``cpu`` or ``cuda``."""
        ...

    def free_bytes(self) -> int:
        """Return the free memory of a device, in bytes."""
        ...

    def describe(self) -> str:
        """Say where the backbones compute."""
        ...

    def run(
        self, groups: Sequence[Group], source: ImageSource, rows: Sequence[range]
    ) -> Iterator[PredictedBatch]:
        """Yield the predictions of each range of rows, in any order.

        groups: of images of one size. Raises ValueError naming a file that can't be read.
        """
        ...


@dataclass(frozen=True)
class LocalPass:
    """Predicts in this process, on one device; threads decode images meanwhile."""

    device: torch.device

    @property
    def device_type(self) -> str:
        """Return ``cpu`` or ``cuda``."""
        return self.device.type

    def free_bytes(self) -> int:
        """Return the free memory of the device, in bytes."""
        return free_bytes(self.device)

    def describe(self) -> str:
        """Say where the backbones compute."""
        return device_name(self.device)

    def run(
        self, groups: Sequence[Group], source: ImageSource, rows: Sequence[range]
    ) -> Iterator[PredictedBatch]:
        """Yield the predictions of each range of rows, in order."""
        backbones = [SharedBackbone(group, self.device) for group in groups]
        for batch in source.batches(rows, resizing_of(groups[0])):
            yield predict_batch(backbones, batch)


def predict_batch(backbones: Sequence[SharedBackbone], batch: ImageBatch) -> PredictedBatch:
    """Predict a batch by all models; NaN for images that can't be read."""
    predicted = [backbone.predict(batch.pixels) for backbone in backbones]
    for row in batch.problems:
        for one in (one for of_models in predicted for one in of_models):
            one[row - batch.rows.start] = np.nan
    return PredictedBatch(batch.rows, predicted, batch.problems)


def resizing_of(group: Group) -> Resizing:
    """Return how the images that a group's models take are resized."""
    return group[0].config.preprocessing.resizing
