"""A subject's images in one uncompressed file, for devices with too little memory for them.

Shards store images in row groups, but an epoch needs them one by one in random order. In a file
with a fixed offset per image, random reads are as fast as the disk and need one batch of memory.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from trainables.data.loading import IMAGE_COLUMNS, stream
from trainables.data.rows import fixed_width
from trainables.data.shards import Manifest
from trainables.data.verification import RowCheck
from trainables.storage.scratch_file import ScratchFile

PIECE: Final = 256
"""Number of images per read; the next read overlaps with the use of the previous one."""


class DiskImages:
    """All images of a subject in an unlinked temporary file, which is freed with the process.

    scratch: directory in which the file is created. image_size: one of the sizes that they are
    stored at; None: that of the rows. Raises DiskFull when there is too little space.
    """

    def __init__(self, shard: Path, scratch: Path, image_size: int | None = None) -> None:
        manifest = Manifest.read(shard)
        size, self._kind = manifest.images_at(shard, image_size)
        self._shape = (3, size, size)
        self._bytes = 3 * size**2
        self.file = ScratchFile(scratch, manifest.n_images * self._bytes)
        """Images are stored one after another in row order."""
        self._write(shard, manifest.n_images)

    def _write(self, shard: Path, n_images: int) -> None:
        check = RowCheck(shard, n_images)
        for block in stream(shard, IMAGE_COLUMNS, kind=self._kind):
            check.add(block["index"].to_numpy())
            images = np.ascontiguousarray(fixed_width(block["image"], np.uint8))
            for row, image in zip(block["index"].to_pylist(), images, strict=True):
                self.file.write(image, row * self._bytes)
        check.finish()

    def read(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield the images of rows in that order, PIECE at a time, uint8 on the CPU."""
        pieces = torch.split(rows, PIECE)
        with ThreadPoolExecutor(1, thread_name_prefix="images") as reader:
            following = reader.submit(self._gather, pieces[0])
            for piece in (*pieces[1:], None):
                images = following.result()
                if piece is not None:
                    following = reader.submit(self._gather, piece)
                yield images

    def _gather(self, rows: Tensor) -> Tensor:
        images = torch.empty(len(rows), *self._shape, dtype=torch.uint8)
        offsets = [row * self._bytes for row in rows.tolist()]
        for offset in offsets:  # announces all reads at once, so that the disk can overlap them
            self.file.will_read(offset, self._bytes)
        for place, offset in zip(images.view(len(rows), -1).numpy(), offsets, strict=True):
            n_read = self.file.read_into([place], offset)
            if n_read != self._bytes:
                raise OSError(f"an on-disk image ends after {n_read} of {self._bytes} bytes")
        return images
