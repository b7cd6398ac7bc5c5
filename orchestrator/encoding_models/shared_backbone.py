"""Several encoding models of one backbone, which passes over each image once for all of them."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from orchestrator.encoding_models.config import PCA, ModelDirectory
from orchestrator.encoding_models.files import TensorFiles
from orchestrator.encoding_models.layer_reader import LayerReader


def by_backbone(models: Iterable[ModelDirectory]) -> list[list[ModelDirectory]]:
    """Group models by the content and code of their backbone and what happens to its images."""
    groups: dict[tuple[object, ...], list[ModelDirectory]] = {}
    for model in models:
        groups.setdefault(model.backbone_key, []).append(model)
    return list(groups.values())


class SharedBackbone:
    """The models of one backbone on a device.

    Each PCA is computed once too, for all ROIs of a layer. Raises ValueError naming a
    damaged file, or code that is not trusted.
    """

    def __init__(self, models: Sequence[ModelDirectory], device: torch.device) -> None:
        files = TensorFiles()
        self.models = tuple(models)
        self.resizing = models[0].config.preprocessing.resizing
        layers = list(dict.fromkeys(model.config.layer for model in models))
        self._reader = LayerReader(files.backbone(models[0]).to(device), layers)
        self._projections = {
            model.config.weights.sha256[PCA]: files.projection(model).to(device) for model in models
        }
        self._readouts = [files.readout(model).to(device) for model in models]

    def features(self, images: Tensor, layer: str) -> Tensor:
        """Compute a layer's features: (n, 3, size, size) uint8 -> (n, n_features) float32.

        layer: that of one of the models.
        """
        return self._reader.read(images)[layer]

    def predict(self, images: Tensor) -> list["np.ndarray[tuple[int, int], np.dtype[np.float32]]"]:
        """Predict responses: (n, 3, size, size) uint8 -> (n, n_vertices) float32 of each model."""
        features = self._reader.read(images)
        components: dict[str, Tensor] = {}
        predicted = []
        with torch.no_grad():
            for model, readout in zip(self.models, self._readouts, strict=True):
                digest = model.config.weights.sha256[PCA]
                if digest not in components:
                    projection = self._projections[digest]
                    components[digest] = projection.project(features[model.config.layer])
                predicted.append(readout.predict(components[digest]).cpu().numpy())
        return predicted
