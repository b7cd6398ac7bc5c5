"""Where images come from: a folder at any depth, or the shards of a subject."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from orchestrator.cli.errors import InputError
from orchestrator.cli.problems import printable
from orchestrator.encoding_models.image_input import read_pixels
from orchestrator.ingest.entries import is_image, left_out, list_tree
from orchestrator.predict.image_batches import ImageBatch, ImageSource, read_ahead
from orchestrator.predict.shard_source import ShardSource
from trainables.data.data_directory import manifest_file
from trainables.spec.interpolation import Resizing


@dataclass(frozen=True)
class FolderTask:
    """Reads some images of a folder."""

    rows: range
    folder: Path
    paths: tuple[Path, ...]
    resizing: Resizing

    def read(self) -> ImageBatch:
        """Read the images, one after another.

        Raises InputError where the folder is not there, as on a node that does not share it.
        """
        if not self.folder.is_dir():
            raise InputError(
                f"{self.folder}: no such folder; put the images where every node of the cluster "
                "can read them, or predict in one process: --local"
            )
        return _batch(
            self.rows, [_decode(path, self.resizing) for path in self.paths], self.resizing
        )


class FolderSource:
    """The image files of a folder, in the order of their names."""

    def __init__(self, folder: Path) -> None:
        entries = list_tree(folder)
        entries.require_finished()
        self._folder = folder
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

    def check_size(self, resizing: Resizing) -> None:
        """Accept every size: images are resized."""

    def batches(self, rows: Sequence[range], resizing: Resizing) -> Iterator[ImageBatch]:
        """Yield images of these rows; a few batches are decoded ahead, on all CPUs."""
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="images") as pool:
            decoding = read_ahead(
                rows, lambda few: [pool.submit(_decode, self._paths[k], resizing) for k in few]
            )
            for few, decoded in decoding:
                yield _batch(few, [one.result() for one in decoded], resizing)

    def tasks(self, rows: Sequence[range], resizing: Resizing) -> list[FolderTask]:
        """Return one task for each range of rows."""
        folder = self._folder.absolute()
        return [
            FolderTask(few, folder, tuple(self._paths[k].absolute() for k in few), resizing)
            for few in rows
        ]


def _decode(path: Path, resizing: Resizing) -> Tensor | str:
    """Read an image as (3, size, size) uint8; describe the problem of one that can't be read."""
    try:
        return torch.from_numpy(read_pixels(path, resizing))
    except ValueError as error:
        return printable(str(error))


def _batch(rows: range, decoded: Sequence[Tensor | str], resizing: Resizing) -> ImageBatch:
    black = torch.zeros(3, resizing.size, resizing.size, dtype=torch.uint8)
    pixels = torch.stack([black if isinstance(one, str) else one for one in decoded])
    bad = {k: one for k, one in zip(rows, decoded, strict=True) if isinstance(one, str)}
    return ImageBatch(rows, pixels, bad)


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def open_source(images: Path) -> ImageSource:
    """Open a folder of images, or a subject's shards; raise InputError for anything else."""
    if manifest_file(images).is_file():
        return ShardSource(images)
    if not images.is_dir():
        found = "a file" if images.exists() else "nothing"
        raise InputError(f"--images {images}: expected a folder, found {found} there")
    return FolderSource(images)
