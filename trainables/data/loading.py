"""Read a subject's shards, the large ones with Ray Data."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from trainables.data.data_directory import RowKind, fetched_row_file
from trainables.data.ray_data import import_ray_data
from trainables.data.rows import fixed_width
from trainables.data.shards import Manifest, split_rows
from trainables.data.verification import (
    CURE,
    FileState,
    RowCheck,
    naming,
    verified_row_files,
    verify,
)
from trainables.storage.atomic import VERIFIED

if TYPE_CHECKING:
    import ray.data

IMAGE_COLUMNS: Final = ("index", "image")
CPUS_PER_READ: Final = 0
"""CPUs that a read reserves in Ray. With 0, reads start even if trials occupy every CPU."""
READS_AT_ONCE: Final = 2
"""Concurrent read tasks: one reads while the blocks of the other are consumed."""
ROW_GROUPS_PER_READ: Final = 4
"""Row groups per read task: starting a task takes longer than reading one group of 9 MiB."""
ALONE_BYTES: Final = 256 * 2**20
"""Up to this size the worker reads columns itself, which is faster than starting Ray Data."""


@dataclass(frozen=True)
class Subject:
    """One subject's responses and split, without the images.

    responses: {hemisphere: (n_images, n_vertices) float32}. train_rows, test_rows: row numbers
    in the order of the split.
    """

    manifest: Manifest
    responses: dict[str, np.ndarray[Any, np.dtype[np.float32]]]
    train_rows: np.ndarray[Any, np.dtype[np.int64]]
    test_rows: np.ndarray[Any, np.dtype[np.int64]]
    n_trials: np.ndarray[Any, np.dtype[np.int64]] | None = None
    """(n_images,) trials that each image's responses are the mean of, where single trials are kept:
    a fit counts each of them. None: it counts each image once."""


def read_subject(shard: Path) -> Subject:
    """Read a subject's split and responses.

    Raises ValueError, with the name of the file or directory, when a file is damaged or of another
    ingest, or when a row is missing or there twice.
    """
    manifest = Manifest.read(shard)
    responses = {
        hemisphere: np.empty((manifest.n_images, n_vertices), np.float32)
        for hemisphere, n_vertices in manifest.n_vertices.items()
    }
    sides = np.empty(manifest.n_images, object)
    numbers = ["order"] if manifest.n_trials is None else ["order", "n_trials"]
    found = {name: np.empty(manifest.n_images, np.int64) for name in numbers}
    check = RowCheck(shard, manifest.n_images)
    for block in stream(shard, ("index", "split", *numbers, *responses)):
        rows = block["index"].to_numpy()
        check.add(rows)
        sides[rows] = block["split"].to_numpy(zero_copy_only=False)
        for name, values in found.items():
            values[rows] = block[name].to_numpy()
        for hemisphere, matrix in responses.items():
            matrix[rows] = fixed_width(block[hemisphere], np.float32)
    check.finish()
    train_rows, test_rows = split_rows(shard, manifest, sides, found["order"])
    return Subject(manifest, responses, train_rows, test_rows, found.get("n_trials"))


def read_images(shard: Path, device: torch.device, image_size: int | None = None) -> Tensor:
    """Read all images of a subject onto a device: (n_images, 3, size, size) uint8.

    image_size: one of the sizes that they are stored at; None: that of the rows. Raises ValueError
    as :func:`read_subject` does.
    """
    manifest = Manifest.read(shard)
    size, kind = manifest.images_at(shard, image_size)
    images = torch.empty(manifest.n_images, 3, size, size, dtype=torch.uint8, device=device)
    places = images.view(manifest.n_images, -1)
    check = RowCheck(shard, manifest.n_images)
    for block in stream(shard, IMAGE_COLUMNS, kind=kind):
        rows, pixels = block["index"].to_numpy(), fixed_width(block["image"], np.uint8)
        check.add(rows)
        if device.type == "cpu":
            places.numpy()[rows] = pixels
        else:
            pinned = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True)
            pinned.numpy()[:] = pixels
            places[torch.from_numpy(rows.astype(np.int64)).to(device)] = pinned.to(device)
    check.finish()
    return images


class RowGroup(NamedTuple):
    """One row group of a file, and the version of the file that this process has verified."""

    path: str
    size: int
    modified: int
    changed: int
    inode: int
    sha256: str
    group: int
    n_rows: int = 0
    """Rows of the group, as the file says."""

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        """Read columns; verify the file first in a process, or on a node, that has not yet."""
        path = fetched_row_file(Path(self.path))
        verify(path, self.sha256, FileState(*self[:5]))
        with naming(path):
            file = pq.ParquetFile(path, **VERIFIED)
            return file.read_row_group(self.group, columns=list(columns))


def list_row_groups(
    shard: Path, columns: tuple[str, ...], kind: RowKind = "rows"
) -> list[RowGroup]:
    """Verify a subject's files and list their row groups, in order.

    kind: of the rows, or of images at a further size. Raises ValueError with the name of a file
    that is damaged, or of another ingest.
    """
    manifest = Manifest.read(shard)
    schema = manifest.schema_of(kind)
    expected = {name: schema.field(name).type for name in columns}
    groups = []
    for path, state in verified_row_files(shard, kind).items():
        with naming(path):
            file = pq.ParquetFile(path)
        found = {one.name: one.type for one in file.schema_arrow if one.name in expected}
        if found != expected:
            raise ValueError(f"{path}: expected columns {expected}, found {found}; {CURE}")
        sha256 = manifest.files[path.name]
        groups += [
            RowGroup(*state, sha256, group, file.metadata.row_group(group).num_rows)
            for group in range(file.num_row_groups)
        ]
    return groups


def _dataset(shard: Path, columns: tuple[str, ...], kind: RowKind) -> "ray.data.Dataset":
    """Read row groups in file order.

    ``ray.data.read_parquet`` lists and samples files in tasks of one CPU each, which never start
    where trials occupy every CPU. Here the row groups are listed without Ray.
    """
    ray_data = import_ray_data()  # which small shards and local runs do not need
    ray_data.DataContext.get_current().execution_options.preserve_order = True

    def read(batch: Any) -> pa.Table:
        [groups] = batch["groups"]
        return pa.concat_tables(RowGroup(**group).read(columns) for group in groups)

    groups = list_row_groups(shard, columns, kind)
    tasks = [
        {"groups": [group._asdict() for group in groups[k : k + ROW_GROUPS_PER_READ]]}
        for k in range(0, len(groups), ROW_GROUPS_PER_READ)
    ]
    dataset: ray.data.Dataset = ray_data.from_items(tasks).map_batches(
        read,
        batch_size=1,
        num_cpus=CPUS_PER_READ,
        compute=ray_data.TaskPoolStrategy(size=min(READS_AT_ONCE, len(tasks))),
    )
    return dataset


def stream(shard: Path, columns: tuple[str, ...], *, kind: RowKind = "rows") -> Iterator[pa.Table]:
    """Read columns of a subject's rows, block by block; raise ValueError when one is damaged.

    kind: as of :func:`list_row_groups`. Large reads use Ray Data if this process is connected
    to Ray; Ray is never started here.
    """
    if _n_bytes(shard, columns, kind) > ALONE_BYTES and _in_ray():
        dataset = _dataset(shard, columns, kind)
        yield from dataset.iter_batches(batch_format="pyarrow", batch_size=None)
        return
    for group in list_row_groups(shard, columns, kind):
        yield group.read(columns)


def _in_ray() -> bool:
    """Return whether this process is connected to Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def _n_bytes(shard: Path, columns: tuple[str, ...], kind: RowKind) -> int:
    """Estimate the memory that columns of a subject need, in bytes."""
    manifest = Manifest.read(shard)
    widths: dict[str, int] = {"image": manifest.schema_of(kind).field("image").type.byte_width}
    widths |= {side: 4 * n_vertices for side, n_vertices in manifest.n_vertices.items()}
    return manifest.n_images * sum(widths.get(column, 8) for column in columns)
