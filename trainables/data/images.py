"""A subject's images during a trial: held on the device, or streamed when they do not fit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Images(Protocol):
    """Images by row number, in any order, batch after batch."""

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
        for part in parts:
            yield self.tensor[part.to(self.tensor.device)]


@dataclass(frozen=True)
class StreamedImages:
    """Images that stay on disk and are read in the order asked for, every time."""

    n_images: int
    image_size: int
    read: Callable[[Tensor], Iterator[Tensor]]
    """Given row numbers, yield their images in that order, in pieces of any length."""
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
            yield held[: len(part)].to(self.device)
            held = held[len(part) :]


def split_batches(rows: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Cut rows into batches; the last may be smaller, but a last one of one joins its neighbour.

    BatchNorm has no variance of one image, and its contrastive loss is always 0.
    """
    parts: tuple[Tensor, ...] = torch.split(rows, batch_size)
    if len(parts) > 1 and len(parts[-1]) == 1:
        return (*parts[:-2], torch.cat(parts[-2:]))
    return parts
