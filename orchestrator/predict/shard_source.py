"""The images of an ingested subject, read from the row groups of its shards."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from orchestrator.cli.errors import InputError
from orchestrator.predict.image_batches import ImageBatch, read_ahead
from trainables.data.loading import RowGroup, list_row_groups
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import Manifest

COLUMNS = ("index", "image")


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
        table = pa.concat_tables(group.read(COLUMNS) for group in self.groups)
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
        """Yield images of these rows, which are of that size; a few batches are read ahead."""
        tasks = {task.rows: task for task in self.tasks(rows, size)}
        with ThreadPoolExecutor(1, thread_name_prefix="images") as pool:
            reading = read_ahead(rows, lambda few: pool.submit(tasks[few].read))
            yield from (one.result() for _, one in reading)

    def tasks(self, rows: Sequence[range], size: int) -> list[ShardTask]:
        """Return one task for each range of rows; the files are verified first."""
        return [self._task(few, size) for few in rows]

    def _task(self, few: range, size: int) -> ShardTask:
        groups, ends = self._groups, self._ends
        from_, to = np.searchsorted(ends, [few.start, few.stop - 1], side="right")
        first = int(ends[from_]) - groups[from_].n_rows
        return ShardTask(few, self._shard, tuple(groups[from_ : to + 1]), first, size)

    @cached_property
    def _groups(self) -> list[RowGroup]:
        groups = list_row_groups(self._shard.absolute(), COLUMNS)
        n_found, n_expected = sum(group.n_rows for group in groups), self._manifest.n_images
        if n_found != n_expected:
            raise ValueError(
                f"{self._shard}: expected {n_expected} rows, as in its manifest, found {n_found}; "
                "remove it and ingest again"
            )
        return groups

    @cached_property
    def _ends(self) -> list[int]:
        """The row after each group's last one."""
        return list(accumulate(group.n_rows for group in self._groups))
