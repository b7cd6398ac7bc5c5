"""An encoding model in a notebook: load it, look at it, and predict the responses to images."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin, snapshot_download
from torch import Tensor, nn

from orchestrator.encoding_models.card import write_card
from orchestrator.encoding_models.config import (
    BACKBONE,
    CARD,
    CONFIG,
    PCA,
    READOUT,
    ModelConfig,
    ModelDirectory,
    Weights,
)
from orchestrator.encoding_models.files import (
    TensorFiles,
    write_backbone,
    write_projection,
    write_readout,
)
from orchestrator.encoding_models.image_input import Images, as_pixels
from orchestrator.encoding_models.layer_reader import LayerReader
from trainables.encoding.readout import Projection, Readout
from trainables.storage.atomic import write_text

if TYPE_CHECKING:
    import pandas as pd

Responses = np.ndarray[Any, np.dtype[np.float32]]


class Parts(NamedTuple):
    """The parts of a model, on the CPU."""

    config: ModelConfig
    backbone: nn.Module
    projection: Projection
    readout: Readout
    card: str
    """The text of its model card."""


class EncodingModel(nn.Module, PyTorchModelHubMixin):
    """Predicts the responses of an ROI's vertices to any image.

    ``save_pretrained``, ``push_to_hub`` and ``from_pretrained`` are Hugging Face's. ``.to(device)``
    moves it as any module of torch.
    """

    mean: Tensor
    basis: Tensor
    coefficients: Tensor
    scale: Tensor
    intercept: Tensor

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.config = parts.config
        self.card = parts.card
        self.backbone = parts.backbone
        """The backbone, a plain module: (n, 3, size, size) normalised images -> its outputs."""
        self.register_buffer("mean", parts.projection.mean)
        self.register_buffer("basis", parts.projection.basis)
        for name, tensor in asdict(parts.readout).items():
            self.register_buffer(name, tensor)
        self._reader: LayerReader | None = None
        self.eval()

    @property
    def vertices(self) -> "pd.DataFrame":
        """One row per vertex, in the order of the predictions' columns.

        hemisphere, vertex (column of the responses in the data), fsaverage and fslr (vertices of
        these meshes), noise_ceiling, r (on the test images) and alpha; missing where unknown.
        """
        import pandas as pd  # only needed here

        config = self.config
        columns = {name: pd.array(values) for name, values in asdict(config.vertices).items()}
        return pd.DataFrame({"hemisphere": config.roi.hemisphere, **columns})

    def forward(self, images: Tensor) -> Tensor:
        """Predict responses: (n, 3, size, size) uint8 -> (n, n_vertices) float32."""
        if self._reader is None or self._reader.device != self.mean.device:
            self._reader = LayerReader(self.backbone, [self.config.layer])
        features = self._reader.read(images)[self.config.layer]
        components = Projection(self.mean, self.basis).project(features)
        readout = Readout(self.coefficients, self.scale, self.intercept)
        return readout.predict(components)

    def predict(self, images: Images, batch_size: int = 64) -> Responses:
        """Predict responses to images: (n, n_vertices) float32, in the responses' own units.

        images: a PIL image, a path, a list of these, or an array or tensor (n, 3, height, width) of
        integers from 0 to 255. Images of another size are resized, without a crop. Raises
        ValueError naming an image that can't be read.
        """
        pixels = as_pixels(images, self.config.preprocessing.resizing)
        with torch.no_grad():
            parts = [self(batch).cpu().numpy() for batch in torch.split(pixels, batch_size)]
        predicted: Responses = np.concatenate(parts)
        return predicted

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write the model's files; its description last."""
        half = self.config.weights.half
        projection = Projection(self.mean.cpu(), self.basis.cpu())
        readout = Readout(self.coefficients.cpu(), self.scale.cpu(), self.intercept.cpu())
        sha256 = {
            BACKBONE: write_backbone(save_directory / BACKBONE, self.backbone),
            PCA: write_projection(save_directory / PCA, projection, half=half),
            READOUT: write_readout(save_directory / READOUT, readout, half=half),
        }
        weights = Weights(sha256, half, self.config.weights.half_change)
        write_text(save_directory / CARD, self.card)
        write_text(save_directory / CONFIG, replace(self.config, weights=weights).to_json())

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        trust_code: bool = False,
        **_: Any,
    ) -> Self:
        """Load a directory, or a repository of the Hugging Face hub."""
        if Path(model_id).is_dir():
            return cls._of_directory(Path(model_id), trust_code=trust_code)
        found = snapshot_download(
            model_id,
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
        )
        return cls._of_directory(Path(found), trust_code=trust_code)

    @classmethod
    def _of_directory(cls, directory: Path, *, trust_code: bool = False) -> Self:
        model = ModelDirectory(directory, ModelConfig.read(directory), trust_code)
        files = TensorFiles()
        card = directory / CARD
        parts = Parts(
            model.config,
            files.backbone(model),
            files.projection(model),
            files.readout(model),
            card.read_text(encoding="utf-8") if card.is_file() else write_card(model.config),
        )
        return cls(parts)


def load_model(path: str | Path, *, trust_code: bool = False) -> EncodingModel:
    """Load an encoding model from its directory, on the CPU and in eval mode.

    trust_code: run the code of a backbone that comes from a user's file. Raises ValueError naming
    the file that is missing, changed, or of another schema, or code that is not trusted.
    """
    return EncodingModel._of_directory(Path(path), trust_code=trust_code)
