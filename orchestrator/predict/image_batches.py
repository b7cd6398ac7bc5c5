"""Batches of images, and what a source of images gives."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from torch import Tensor

from trainables.spec.interpolation import Resizing

AHEAD: Final = 2
"""Batches that are read while the backbone computes one."""

Reading = TypeVar("Reading")


@dataclass(frozen=True)
class ImageBatch:
    """Some images of a source; one that can't be read is black, and has a problem."""

    rows: range
    pixels: Tensor
    """(n, 3, size, size) uint8, on the CPU."""
    problems: dict[int, str]
    """``PATH: what is wrong; cure`` of a row that can't be read."""


class ReadTask(Protocol):
    """Reads one batch, in any process on any node; small when pickled."""

    @property
    def rows(self) -> range:
        """Return the rows of the batch."""
        ...

    def read(self) -> ImageBatch:
        """Read the batch; raise ValueError where the source is not there, or is damaged."""
        ...


class ImageSource(Protocol):
    """Images in a fixed order."""

    @property
    def names(self) -> Sequence[str]:
        """Name the images, in order."""
        ...

    @property
    def content(self) -> object:
        """What changes when an image does, in JSON's types."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """Lines on what is left out."""
        ...

    def check_size(self, resizing: Resizing) -> None:
        """Raise InputError if the images can't be given in a size."""
        ...

    def batches(self, rows: Sequence[range], resizing: Resizing) -> Iterator[ImageBatch]:
        """Yield images of these rows in a size, one batch for each range."""
        ...

    def tasks(self, rows: Sequence[range], resizing: Resizing) -> Sequence[ReadTask]:
        """Return what reads the batches of :meth:`batches` in other processes."""
        ...


def read_ahead(
    rows: Sequence[range], start: Callable[[range], Reading]
) -> Iterator[tuple[range, Reading]]:
    """Start to read batches, AHEAD of them before the first is yielded."""
    waiting: deque[tuple[range, Reading]] = deque()
    for few in rows:
        waiting.append((few, start(few)))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting
