"""The images of an ingested subject, read from the row groups of its shards."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from orchestrator.cli.errors import InputError
from orchestrator.predict.image_batches import ImageBatch, read_ahead
from trainables.data.loading import IMAGE_COLUMNS, RowGroup, list_row_groups
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import Manifest
from trainables.spec.interpolation import Resizing


@dataclass(frozen=True)
class ShardTask:
    """Reads some rows of a subject's shards, from the row groups that hold them."""

    rows: range
    shard: Path
    groups: tuple[RowGroup, ...]
    first: int
    """Row of the groups' first row."""
    size: int

    def read(self) -> ImageBatch:
        """Read the images; raise ValueError naming a file that is missing, damaged or another."""
        table = pa.concat_tables(group.read(IMAGE_COLUMNS) for group in self.groups)
        held = range(self.first, self.first + table.num_rows)
        if not np.array_equal(table["index"].to_numpy(), held):
            raise ValueError(
                f"{self.shard}: expected rows {held.start} to {held.stop - 1} in order, found "
                "others; remove it and ingest again"
            )
        pixels = fixed_width(table["image"], np.uint8)
        few = pixels[self.rows.start - self.first : self.rows.stop - self.first]
        images = torch.from_numpy(few.copy())  # of this batch alone
        return ImageBatch(self.rows, images.view(-1, 3, self.size, self.size), {})


class ShardSource:
    """All images of an ingested subject, in the order of its responses' rows."""

    notes: Sequence[str] = ()

    def __init__(self, shard: Path) -> None:
        self._manifest = Manifest.read(shard)
        self._shard = shard
        self._listed: dict[int, list[RowGroup]] = {}
        blocks = read_rows(shard, ["stimulus"], verify=False)
        self.names = [name for block in blocks for name in block["stimulus"].to_pylist()]

    @property
    def content(self) -> object:
        """The digest of the subject's data."""
        return self._manifest.data

    def check_size(self, resizing: Resizing) -> None:
        """Raise InputError for images that are not stored so: resizing twice loses detail."""
        manifest = self._manifest
        stored = [Resizing(size, manifest.interpolation) for size in manifest.image_sizes]
        if resizing not in stored:
            raise InputError(
                f"{self._shard}: images of {' and '.join(map(str, stored))}, a model takes "
                f"{resizing}; give the folder of the original images"
            )

    def batches(self, rows: Sequence[range], resizing: Resizing) -> Iterator[ImageBatch]:
        """Yield images of these rows, which are of that size; a few batches are read ahead."""
        tasks = {task.rows: task for task in self.tasks(rows, resizing)}
        with ThreadPoolExecutor(1, thread_name_prefix="images") as pool:
            reading = read_ahead(rows, lambda few: pool.submit(tasks[few].read))
            yield from (one.result() for _, one in reading)

    def tasks(self, rows: Sequence[range], resizing: Resizing) -> list[ShardTask]:
        """Return one task for each range of rows; the files are verified first."""
        return [self._task(few, resizing.size) for few in rows]

    def _task(self, few: range, size: int) -> ShardTask:
        groups = self._groups(size)
        ends = list(accumulate(group.n_rows for group in groups))
        from_, to = np.searchsorted(ends, [few.start, few.stop - 1], side="right")
        first = int(ends[from_]) - groups[from_].n_rows
        return ShardTask(few, self._shard, tuple(groups[from_ : to + 1]), first, size)

    def _groups(self, size: int) -> list[RowGroup]:
        """List the row groups of the images of a size; raise ValueError if rows are missing."""
        if size not in self._listed:
            _, kind = self._manifest.images_at(self._shard, size)
            self._listed[size] = list_row_groups(self._shard.absolute(), IMAGE_COLUMNS, kind)
        groups = self._listed[size]
        n_found, n_expected = sum(group.n_rows for group in groups), self._manifest.n_images
        if n_found != n_expected:
            raise ValueError(
                f"{self._shard}: expected {n_expected} rows, as in its manifest, found {n_found}; "
                "remove it and ingest again"
            )
        return groups
