"""A user's own photographs as the stimuli of simulated subjects."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import is_image, list_tree, require_folder
from orchestrator.ingest.images import check_images, decode_image

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Photographs:
    """Image files, sorted by path."""

    paths: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the files' names and contents, in 16 hexadecimal digits."""
        found = hashlib.sha256()
        for path in self.paths:
            found.update(path.name.encode("utf-8", "surrogateescape") + b"\0")
            found.update(hashlib.sha256(path.read_bytes()).digest())
        return found.hexdigest()[:16]

    def read(self, number: int, size: int) -> Array:
        """Read an image as (size, size, 3) uint8, resized without a crop."""
        return np.ascontiguousarray(np.moveaxis(decode_image(self.paths[number], size), 0, -1))


def find_photographs(folder: Path, limit: int | None) -> Photographs:
    """Find the images at any depth below a folder, at most limit of them; check each.

    Raises InputError when there are none, or naming those that can't be read.
    """
    require_folder(folder)
    entries = list_tree(folder)
    entries.require_finished()
    paths = tuple(path for path in entries.kept if is_image(path))[:limit]
    if not paths:
        raise InputError(f"{folder}: expected photographs (.jpg, .png …), found none")
    check_images(paths, lambda n: None)
    return Photographs(paths)
