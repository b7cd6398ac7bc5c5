"""Read the features of some layers of a backbone, as the scores of a sweep were computed."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainables.compute.precision import full_float32
from trainables.models.layers import layer_extractor, out_of_place
from trainables.models.normalisation import normalise


class LayerReader:
    """A backbone in eval mode on its device, which returns the features of some layers."""

    def __init__(self, backbone: nn.Module, layers: Sequence[str]) -> None:
        self._backbone = backbone
        self.device = next(backbone.parameters()).device
        # Channels last: pooling on a CPU is several times faster so.
        is_cpu = self.device.type == "cpu"
        self._layout = torch.channels_last if is_cpu else torch.contiguous_format
        self._extractor = layer_extractor(backbone.to(memory_format=self._layout), layers)

    def read(self, images: Tensor) -> dict[str, Tensor]:
        """Compute features: (n, 3, size, size) uint8 -> (n, n_features) float32 of each layer."""
        with torch.no_grad(), full_float32(), out_of_place(self._extractor):
            pixels = normalise(images.to(self.device), self._backbone)
            activations: dict[str, Tensor] = self._extractor(
                pixels.contiguous(memory_format=self._layout)
            )
        return {layer: values.flatten(1).float() for layer, values in activations.items()}
