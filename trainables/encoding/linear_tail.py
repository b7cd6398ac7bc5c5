"""The fully connected layers that end AlexNet and VGG, computed for many images at once on a CPU.

A product of 32 rows with 4,096 × 9,216 weights waits for the weights; of 512 rows it takes half the
time for each image. Convolutions are as fast with 32 images, whose maps stay within the cache and
the blocks that the allocator reuses.
"""

from collections.abc import Sequence
from typing import Final, Self

import torch
from torch import Tensor, nn

from trainables.models.published import models

ROWS: Final = 512
"""Images at a time."""
SOURCE: Final = "avgpool"
"""The layer whose flattened activations are the input of the fully connected layers."""
ROW_WISE: Final = (nn.Linear, nn.ReLU, nn.Dropout, nn.Identity)

FORWARDS: Final = (models.AlexNet.forward, models.VGG.forward)
"""Functions that flatten the activations of SOURCE, and give them to ``classifier`` alone."""


class LinearTail:
    """Collects the inputs of a network's fully connected layers, and computes the layers asked for.

    layers: names of layers among them, ``classifier.0`` and so on.
    """

    def __init__(self, classifier: nn.Sequential, layers: Sequence[str]) -> None:
        self.layers = tuple(layers)
        self._classifier = classifier
        self._held: list[Tensor] = []
        self.start = 0
        """Row of the first image that is held."""

    @classmethod
    def of(cls, network: nn.Module, layers: Sequence[str]) -> Self | None:
        """Return the tail of a network that ends in such layers, if any of them is asked for.

        A network with a forward of its own has none: what it does before the layers is unknown.
        """
        if type(network).forward not in FORWARDS or "forward" in vars(network):
            return None
        classifier = network.classifier
        if not isinstance(classifier, nn.Sequential) or not all(
            isinstance(module, ROW_WISE) for module in classifier
        ):
            return None
        known = {f"classifier.{number}" for number in range(len(classifier))}
        wanted = [layer for layer in layers if layer in known]
        return cls(classifier, wanted) if wanted else None

    def compute(self, X: Tensor) -> dict[str, Tensor]:
        """Compute the layers asked for from their input: (n, …) -> (n, n_features) each."""
        found: dict[str, Tensor] = {}
        X = X.flatten(1)
        for number, module in enumerate(self._classifier):
            X = module(X)
            if f"classifier.{number}" in self.layers:
                found[f"classifier.{number}"] = X
            if len(found) == len(self.layers):
                break
        return found

    @property
    def n_held(self) -> int:
        """Count the images that are held."""
        return sum(map(len, self._held))

    def hold(self, X: Tensor) -> bool:
        """Keep the inputs of further images; return whether as many are held as are to be."""
        self._held.append(X)
        return self.n_held >= ROWS

    def release(self) -> dict[str, Tensor]:
        """Compute the layers of the images that are held, and let the next ones follow them."""
        X = torch.cat(self._held)
        self._held.clear()
        self.start += len(X)
        return self.compute(X)
