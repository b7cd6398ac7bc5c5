"""Where encoding reads the activations of layers from: an interface of the ways to keep them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from torch import Tensor


class LayerFeatures(ABC):
    """Layers' activations, each (n_images, n_features) float32.

    A context manager: on leaving it the activations are released.
    """

    @abstractmethod
    def columns(self, layer: str) -> Iterator[Tensor]:
        """Yield a layer in blocks of columns on the device, each (n_images, n_columns)."""

    @abstractmethod
    def n_features(self, layer: str) -> int:
        """Count a layer's features."""

    @abstractmethod
    def close(self) -> None:
        """Release the activations, and files that they lie in."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
