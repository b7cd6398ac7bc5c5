"""Where images come from: a folder at any depth, or the shards of a subject."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import torch
from torch import Tensor

from orchestrator.cli.errors import InputError
from orchestrator.cli.problems import printable
from orchestrator.encoding_models.image_input import read_pixels
from orchestrator.ingest.entries import is_image, left_out, list_tree
from trainables.data.data_directory import DataDirectory, manifest_file
from trainables.data.rows import read_rows
from trainables.data.shards import Manifest
from trainables.worker.subject_cache import SubjectCache

AHEAD: Final = 2
"""Batches that are decoded while the backbone computes one."""


@dataclass(frozen=True)
class ImageBatch:
    """Some images of a source; one that can't be read is black, and has a problem."""

    rows: range
    pixels: Tensor
    """(n, 3, size, size) uint8, on the CPU."""
    problems: dict[int, str]
    """``PATH: what is wrong; cure`` of a row that can't be read."""


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

    def check_size(self, size: int) -> None:
        """Raise InputError if the images can't be given as size x size pixels."""
        ...

    def batches(self, rows: Sequence[range], size: int) -> Iterator[ImageBatch]:
        """Yield images of these rows as size x size pixels, one batch for each range."""
        ...


class FolderSource:
    """The image files of a folder, in the order of their names."""

    def __init__(self, folder: Path) -> None:
        entries = list_tree(folder)
        entries.require_finished()
        self._paths = [path for path in entries.kept if is_image(path)]
        if not self._paths:
            raise InputError(
                f"{folder}: holds no image files, such as .png or .jpg; give another --images"
            )
        others = [path for path in entries.kept if not is_image(path)]
        self.notes = left_out([*others, *entries.strangers], "no image by its name")
        self.names = [printable(path.relative_to(folder).as_posix()) for path in self._paths]

    @property
    def content(self) -> object:
        """Name, size and time of change of each file; 0 for a link that leads nowhere."""
        return [(n, *_state(path)) for n, path in zip(self.names, self._paths, strict=True)]

    def check_size(self, size: int) -> None:
        """Accept every size: images are resized."""

    def batches(self, rows: Sequence[range], size: int) -> Iterator[ImageBatch]:
        """Yield images of these rows; a few batches are decoded ahead, on all CPUs."""

        def decode(row: int) -> Tensor | str:
            try:
                return torch.from_numpy(read_pixels(self._paths[row], size))
            except ValueError as error:
                return printable(str(error))

        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="images") as pool:
            for few, decoded in _ahead(rows, lambda few: [pool.submit(decode, k) for k in few]):
                found = [one.result() for one in decoded]
                black = torch.zeros(3, size, size, dtype=torch.uint8)
                pixels = [black if isinstance(one, str) else one for one in found]
                bad = {k: one for k, one in zip(few, found, strict=True) if isinstance(one, str)}
                yield ImageBatch(few, torch.stack(pixels), bad)


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


Decoding = list[Future[Tensor | str]]
Submit = Callable[[range], Decoding]


def _ahead(rows: Sequence[range], submit: Submit) -> Iterator[tuple[range, Decoding]]:
    """Submit batches, AHEAD of them before the first is yielded."""
    waiting: deque[tuple[range, Decoding]] = deque()
    for few in rows:
        waiting.append((few, submit(few)))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


class ShardSource:
    """All images of an ingested subject, in the order of its responses' rows."""

    notes: Sequence[str] = ()

    def __init__(self, shard: Path, scratch: Path) -> None:
        self._manifest = Manifest.read(shard)
        self._shard, self._scratch = shard, scratch
        blocks = read_rows(shard, ["stimulus"], verify=False)
        self.names = [name for block in blocks for name in block["stimulus"].to_pylist()]

    @property
    def content(self) -> object:
        """The digest of the subject's data."""
        return self._manifest.data

    def check_size(self, size: int) -> None:
        """Raise InputError for another size than the shards': resizing twice loses detail."""
        if size != self._manifest.image_size:
            raise InputError(
                f"{self._shard}: images of {self._manifest.image_size} x "
                f"{self._manifest.image_size} pixels, a model takes {size} x {size}; give the "
                "folder of the original images"
            )

    def batches(self, rows: Sequence[range], size: int) -> Iterator[ImageBatch]:
        """Yield images of these rows, which are of that size."""
        cache = SubjectCache(
            DataDirectory(self._shard.parent), torch.device("cpu"), None, self._scratch
        )
        images = cache.named({self._shard.name: self._manifest.data})[self._shard.name].images
        parts = [torch.arange(few.start, few.stop) for few in rows]
        for few, pixels in zip(rows, images.parts(parts), strict=True):
            yield ImageBatch(few, pixels, {})


def open_source(images: Path, scratch: Path) -> ImageSource:
    """Open a folder of images, or a subject's shards; raise InputError for anything else."""
    if manifest_file(images).is_file():
        return ShardSource(images, scratch)
    if not images.is_dir():
        found = "a file" if images.exists() else "nothing"
        raise InputError(f"--images {images}: expected a folder, found {found} there")
    return FolderSource(images)
