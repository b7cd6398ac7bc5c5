"""Every layer's activations of every image, from one pass of the backbone over the images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import torch
from torch import Tensor, nn

from trainables.compute.precision import full_float32
from trainables.encoding.layer_features import LayerFeatures
from trainables.encoding.linear_tail import SOURCE, LinearTail
from trainables.encoding.working_memory import FEATURE_BYTES
from trainables.models.layers import layer_extractor, out_of_place
from trainables.models.normalisation import normalise
from trainables.storage.scratch_file import ScratchFile

CHUNK_BYTES: Final = 8 * 2**20
"""Bytes of float32 features per chunk, so that a chunk fits a processor's cache."""
MIN_COLUMNS: Final = 1024
"""Fewest features handed out at once: few would read a large Gram matrix too often."""


@dataclass(frozen=True)
class Storage:
    """Where activations may lie: on the device up to a budget, else in files under scratch."""

    device: torch.device
    budget_bytes: int
    scratch: Path


class FeatureStore(LayerFeatures):
    """Layers' activations, each (n_images, n_features) float32, in memory or in a scratch file.

    A context manager: on leaving it the activations are released and the scratch file is freed.
    layers: with a file, views of the memory that it is mapped to.
    """

    def __init__(
        self,
        layers: Mapping[str, Tensor],
        device: torch.device | None = None,
        file: ScratchFile | None = None,
    ) -> None:
        self._layers = dict(layers)
        self._device = device
        self._file = file

    @classmethod
    def allocate(cls, widths: Mapping[str, int], n_images: int, storage: Storage) -> Self:
        """Make room for every layer: all on the device when they fit the budget, else all on disk.

        widths: features of each layer. Raises DiskFull if the disk has too little space.
        """
        n_bytes = FEATURE_BYTES * n_images * sum(widths.values())
        if n_bytes <= storage.budget_bytes:
            layers = {
                layer: torch.empty(n_images, width, device=storage.device)
                for layer, width in widths.items()
            }
            return cls(layers, storage.device)
        file = ScratchFile(storage.scratch, n_bytes)
        mapped = torch.frombuffer(file.map(), dtype=torch.float32)
        parts = torch.split(mapped, [n_images * width for width in widths.values()])
        layers = {
            layer: part.view(n_images, width)
            for part, (layer, width) in zip(parts, widths.items(), strict=True)
        }
        return cls(layers, storage.device, file)

    @property
    def layers(self) -> tuple[str, ...]:
        """Name the layers, in the order of the request."""
        return tuple(self._layers)

    @property
    def is_on_disk(self) -> bool:
        """Return whether the activations lie in a scratch file."""
        return self._file is not None

    def write(self, start: int, activations: Mapping[str, Tensor]) -> None:
        """Store a batch's activations, each (n_batch, …), as rows from start on, flattened."""
        for layer, values in activations.items():
            rows = self._layers[layer][start : start + len(values)]
            if self._file is None:
                rows.view(values.shape).copy_(values)
            else:
                content = values.to("cpu", torch.float32).contiguous().flatten()
                self._file.write(content.numpy(), FEATURE_BYTES * int(rows.storage_offset()))

    def columns(self, layer: str) -> Iterator[Tensor]:
        """Yield a layer in blocks of columns on the device, each (n_images, n_columns)."""
        features = self._layers[layer]
        n_columns = max(MIN_COLUMNS, CHUNK_BYTES // (4 * len(features)))
        for chunk in torch.split(features, n_columns, dim=1):
            yield chunk.to(self._device)

    def n_features(self, layer: str) -> int:
        """Count a layer's features."""
        return self._layers[layer].shape[1]

    def close(self) -> None:
        """Release the activations and their file."""
        self._layers.clear()
        if self._file is not None:
            self._file.close()


def extract(
    network: nn.Module,
    layers: Sequence[str],
    batches: Iterable[Tensor],
    n_images: int,
    storage: Storage,
) -> FeatureStore:
    """Pass the images through the backbone once and keep the flattened activations of every layer.

    batches: uint8 (n_batch, 3, size, size), n_images images in all; row i of the features is
    image i of the batches. The backbone is left in eval mode, on storage.device.
    Raises ValueError when a layer is unknown or the batches do not hold n_images images.
    """
    # Channels last: pooling on a CPU is several times faster so, convolutions a little.
    on_cpu = storage.device.type == "cpu"
    layout = torch.channels_last if on_cpu else torch.contiguous_format
    network = network.to(storage.device).to(memory_format=layout)
    tail = LinearTail.of(network, layers) if on_cpu else None
    extractor = layer_extractor(network, _read_with(layers, tail))
    store: FeatureStore | None = None
    n_found = 0
    try:
        with torch.no_grad(), full_float32(), out_of_place(extractor):
            for images in batches:
                pixels = images.to(storage.device).contiguous(memory_format=layout)
                activations = extractor(normalise(pixels, network).contiguous(memory_format=layout))
                if store is None:
                    widths = _widths(layers, activations, tail)
                    store = FeatureStore.allocate(widths, n_images, storage)
                _check_count(n_found + len(images), n_images, complete=False)
                _write(store, n_found, activations, tail)
                n_found += len(images)
            _check_count(n_found, n_images, complete=True)
            if store is not None and tail is not None and tail.n_held:
                store.write(tail.start, tail.release())
    except BaseException:
        if store is not None:
            store.close()
        raise
    assert store is not None  # n_images > 0 was seen
    return store


def _read_with(layers: Sequence[str], tail: LinearTail | None) -> list[str]:
    """List the layers to read, with the input of the tail in place of its own."""
    if tail is None:
        return list(layers)
    return list(dict.fromkeys([*(one for one in layers if one not in tail.layers), SOURCE]))


def _widths(
    layers: Sequence[str], activations: Mapping[str, Tensor], tail: LinearTail | None
) -> dict[str, int]:
    """Count the features of each layer, of a batch's activations."""
    ending = {} if tail is None else tail.compute(activations[SOURCE][:1])
    every = {**activations, **ending}
    return {layer: every[layer][0].numel() for layer in layers}


def _write(
    store: FeatureStore, start: int, activations: Mapping[str, Tensor], tail: LinearTail | None
) -> None:
    """Store a batch's activations, and those of the tail whenever it holds enough images."""
    store.write(start, {name: one for name, one in activations.items() if name in store.layers})
    if tail is not None and tail.hold(activations[SOURCE]):
        store.write(tail.start, tail.release())


def _check_count(n_found: int, n_images: int, *, complete: bool) -> None:
    if n_found > n_images or n_found == 0 or (complete and n_found < n_images):
        raise ValueError(
            f"features: expected {n_images} images, the batches hold "
            f"{n_found}{'' if complete else ' or more'}; pass the number that will be streamed"
        )
