"""Access to a subject's images during a trial: on the device, or streamed if they don't fit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from trainables.compute.centre_crop import centre_of
from trainables.compute.device import parts_to_device, to_device


class Images(Protocol):
    """Access to images by row number, in batches and in any order."""

    @property
    def n_images(self) -> int:
        """Count the images."""
        ...

    @property
    def image_size(self) -> int:
        """Return the images' height and width in pixels."""
        ...

    def batches(self, rows: Tensor, batch_size: int) -> Iterator[Tensor]:
        """Yield the images of rows, in that order: (batch, 3, size, size) uint8 on the device."""
        ...

    def parts(self, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the images of each part's rows: (len(part), 3, size, size) uint8 on the device."""
        ...


@dataclass(frozen=True)
class ResidentImages:
    """All images of a subject on the device: (n_images, 3, size, size) uint8."""

    tensor: Tensor

    @property
    def n_images(self) -> int:
        """Count the images."""
        return len(self.tensor)

    @property
    def image_size(self) -> int:
        """Return the images' height and width in pixels."""
        return self.tensor.shape[-1]

    def batches(self, rows: Tensor, batch_size: int) -> Iterator[Tensor]:
        """Yield the images of rows, in that order: (batch, 3, size, size) uint8 on the device."""
        return self.parts(split_batches(rows, batch_size))

    def parts(self, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the images of each part's rows: (len(part), 3, size, size) uint8 on the device."""
        for part in parts_to_device(parts, self.tensor.device):
            yield self.tensor[part]


@dataclass(frozen=True)
class StreamedImages:
    """Images on disk, which are read at each access."""

    n_images: int
    image_size: int
    read: Callable[[Tensor], Iterator[Tensor]]
    """Function that yields the images of row numbers in their order, in chunks of any length."""
    device: torch.device

    def batches(self, rows: Tensor, batch_size: int) -> Iterator[Tensor]:
        """Yield the images of rows, in that order: (batch, 3, size, size) uint8 on the device."""
        return self.parts(split_batches(rows, batch_size))

    def parts(self, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the images of each part's rows: (len(part), 3, size, size) uint8 on the device."""
        held = torch.empty(0, 3, self.image_size, self.image_size, dtype=torch.uint8)
        pieces = self.read(torch.cat(tuple(parts))) if parts else iter(())
        for part in parts:
            while len(held) < len(part):
                held = torch.cat([held, next(pieces)])
            yield to_device(held[: len(part)], self.device)
            held = held[len(part) :]


@dataclass(frozen=True)
class CroppedImages:
    """The centres of images, which are larger; raises ValueError for others."""

    images: Images
    image_size: int
    """Pixels of the centre."""

    def __post_init__(self) -> None:
        if self.image_size >= self.images.image_size:
            raise ValueError(
                f"expected images of more than {self.image_size} pixels, the backbone's crop, "
                f"found {self.images.image_size}; ingest again with a further --image-size"
            )

    @property
    def n_images(self) -> int:
        """Count the images."""
        return self.images.n_images

    def batches(self, rows: Tensor, batch_size: int) -> Iterator[Tensor]:
        """Yield the centres of rows, in that order: (batch, 3, size, size) uint8 on the device."""
        return self.parts(split_batches(rows, batch_size))

    def parts(self, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the centres of each part's rows: (len(part), 3, size, size) uint8 on the device."""
        for part in self.images.parts(parts):
            yield centre_of(part, self.image_size)


def split_batches(rows: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Split rows into batches; the last may be smaller, but a single image joins the batch before.

    BatchNorm can't estimate a variance from one image, whose contrastive loss would always be 0.
    """
    parts: tuple[Tensor, ...] = torch.split(rows, batch_size)
    if len(parts) > 1 and len(parts[-1]) == 1:
        return (*parts[:-2], torch.cat(parts[-2:]))
    return parts
