"""Features that do not fit a GPU: as many layers as fit at a time, from a pass of their own each.

A GPU passes a subject's images sooner than a disk takes and gives their features back. On a CPU a
pass is the dearer of the two, and the features go to disk (`features.py`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from trainables.encoding.features import FeatureStore, Storage, extract
from trainables.encoding.layer_features import LayerFeatures
from trainables.encoding.working_memory import FEATURE_BYTES

Batches = Callable[[], Iterable[Tensor]]
"""Reads the images again: uint8 (n_batch, 3, size, size)."""


def read_features(
    network: nn.Module, layers: Sequence[str], batches: Batches, n_images: int, storage: Storage
) -> LayerFeatures:
    """Pass images through the backbone and keep every layer's activations, or pass again.

    Arguments and errors are those of :func:`~trainables.encoding.features.extract`. On a GPU,
    layers that do not fit the budget together are read one group after another; if one of them does
    not fit by itself, all go to disk.
    """
    if storage.device.type != "cuda":
        return extract(network, layers, batches(), n_images, storage)
    first = next(iter(batches()))
    whole = replace(storage, budget_bytes=2**62)
    with extract(network, layers, [first], len(first), whole) as one:
        widths = {layer: one.n_features(layer) for layer in layers}

    def pass_images(group: Sequence[str]) -> FeatureStore:
        return extract(network, group, batches(), n_images, storage)

    room = storage.budget_bytes // (FEATURE_BYTES * n_images)
    if sum(widths.values()) <= room or max(widths.values()) > room:
        return pass_images(layers)
    return RepeatedPasses(widths, room, pass_images)


class RepeatedPasses(LayerFeatures):
    """Layers' activations, of which as many follow each other in memory as fit.

    widths: features of each layer, in the order in which layers are read. room: features of an
    image that fit. pass_images: passes the images, and keeps some layers.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        room: int,
        pass_images: Callable[[Sequence[str]], FeatureStore],
    ) -> None:
        self._widths = dict(widths)
        self._room = room
        self._pass_images = pass_images
        self._held: FeatureStore | None = None

    def columns(self, layer: str) -> Iterator[Tensor]:
        """Yield a layer in blocks of columns on the device, each (n_images, n_columns)."""
        if self._held is None or layer not in self._held.layers:
            self.close()
            self._held = self._pass_images(self._group_from(layer))
        return self._held.columns(layer)

    def n_features(self, layer: str) -> int:
        """Count a layer's features."""
        return self._widths[layer]

    def _group_from(self, first: str) -> list[str]:
        """List a layer and those after it that fit with it."""
        names = list(self._widths)
        group, room = [first], self._room - self._widths[first]
        for layer in names[names.index(first) + 1 :]:
            room -= self._widths[layer]
            if room < 0:
                break
            group.append(layer)
        return group

    def close(self) -> None:
        """Release the activations that are held."""
        if self._held is not None:
            self._held.close()
            self._held = None
