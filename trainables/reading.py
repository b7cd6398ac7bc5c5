"""Reading a subject's shards: large ones with Ray Data, one task a row group."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data
import torch
from torch import Tensor

from trainables.durable import VERIFIED
from trainables.mirror import pull
from trainables.rois import HEMISPHERES
from trainables.shards import TEST, TRAIN, Manifest, fixed_width

CPUS_A_READ: Final = 0
"""A read asks Ray for none: trials may hold every CPU of what dead nodes have left of a cluster."""
READS_AT_ONCE: Final = 4
"""They wait for the disk more than they compute."""
ALONE_BYTES: Final = 64 * 2**20
"""Of the columns asked for: so few the worker reads itself, sooner than Ray Data's tasks begin."""


@dataclass(frozen=True)
class Subject:
    """One subject's rows in memory, but for the images.

    responses: {hemisphere: (n_images, n_vertices) float32}. train_rows, test_rows: row numbers
    in the split's order.
    """

    manifest: Manifest
    responses: dict[str, np.ndarray[Any, np.dtype[np.float32]]]
    train_rows: np.ndarray[Any, np.dtype[np.int64]]
    test_rows: np.ndarray[Any, np.dtype[np.int64]]


def read_subject(shard: Path) -> Subject:
    """Read a subject's split and responses; raise ValueError when rows are missing."""
    manifest = Manifest.read(shard)
    responses = {
        hemisphere: np.empty((manifest.n_images, n_vertices), np.float32)
        for hemisphere, n_vertices in manifest.n_vertices.items()
    }
    split = np.empty(manifest.n_images, "U5")
    order = np.empty(manifest.n_images, np.int64)
    n_read = 0
    for block in _stream(shard, ("index", "split", "order", *HEMISPHERES)):
        rows = block["index"].to_numpy()
        split[rows] = block["split"].to_numpy(zero_copy_only=False)
        order[rows] = block["order"].to_numpy()
        for hemisphere, matrix in responses.items():
            matrix[rows] = fixed_width(block[hemisphere], np.float32)
        n_read += len(rows)
    if n_read != manifest.n_images:
        raise ValueError(
            f"{shard}: {n_read} rows, its manifest says {manifest.n_images}; ingest it again"
        )
    in_order = np.argsort(order, kind="stable")
    return Subject(
        manifest,
        responses,
        train_rows=in_order[split[in_order] == TRAIN],
        test_rows=in_order[split[in_order] == TEST],
    )


def read_images(shard: Path, device: torch.device) -> Tensor:
    """Read all images of a subject onto a device: (n_images, 3, size, size) uint8."""
    manifest = Manifest.read(shard)
    size = manifest.image_size
    images = torch.empty(manifest.n_images, 3, size, size, dtype=torch.uint8, device=device)
    for block in _stream(shard, ("index", "image")):
        rows = torch.from_numpy(block["index"].to_numpy().astype(np.int64)).to(device)
        images[rows] = _pixels(block, size).to(device)
    return images


class ObjectStoreImages:
    """A subject's images as blocks of Ray's object store, for devices that can't hold them.

    The store spills to disk what it can't hold; blocks on this node are read without a copy.
    """

    def __init__(self, shard: Path) -> None:
        self._size = Manifest.read(shard).image_size
        # (Ray's to_arrow_refs does the same in tasks of a whole CPU each.)
        bundles = _dataset(shard, ("index", "image")).materialize().iter_internal_ref_bundles()
        self._blocks = [block for bundle in bundles for block in bundle.block_refs]
        self._first_rows = np.cumsum([0, *(_n_rows(path) for path in _row_groups(shard))])

    def read(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield the images of rows in that order, a few hundred at a time, uint8 on the CPU."""
        for part in torch.split(rows, 256):
            yield self._gather(part.numpy())

    def _gather(self, rows: np.ndarray[Any, Any]) -> Tensor:
        images = torch.empty(len(rows), 3, self._size, self._size, dtype=torch.uint8)
        block_of = np.searchsorted(self._first_rows, rows, side="right") - 1
        for block in np.unique(block_of):
            places = np.flatnonzero(block_of == block)
            pixels = _pixels(ray.get(self._blocks[block]), self._size)
            within = torch.from_numpy(rows[places] - self._first_rows[block])
            images[torch.from_numpy(places)] = pixels[within]
        return images


def _pixels(block: pa.Table, size: int) -> Tensor:
    pixels = fixed_width(block["image"], np.uint8)
    return torch.from_numpy(pixels.copy()).view(-1, 3, size, size)


def _row_groups(shard: Path) -> list[dict[str, Any]]:
    return [
        {"file": str(path), "group": group}
        for path in sorted(shard.glob("rows-*.parquet"))
        for group in range(pq.ParquetFile(path).num_row_groups)
    ]


def _n_rows(place: dict[str, Any]) -> int:
    return int(pq.ParquetFile(place["file"]).metadata.row_group(place["group"]).num_rows)


def _dataset(shard: Path, columns: tuple[str, ...]) -> ray.data.Dataset:
    """Read row groups in file order.

    ``ray.data.read_parquet`` lists and samples files in tasks of a whole CPU each; on a machine
    whose CPUs are held by trials these never start. Row groups are known beforehand here.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    logging.getLogger("ray.data").setLevel(logging.WARNING)

    def read(place: Any) -> pa.Table:
        return _read(Path(place["file"][0]), int(place["group"][0]), columns)

    return ray.data.from_items(_row_groups(shard)).map_batches(
        read, batch_size=1, num_cpus=CPUS_A_READ, concurrency=READS_AT_ONCE
    )


def _read(path: Path, group: int, columns: tuple[str, ...]) -> pa.Table:
    """Read columns of a row group; raise ValueError, with the cure, when the file is damaged."""
    try:
        pull(path)  # a task may run on another node
        return pq.ParquetFile(path, **VERIFIED).read_row_group(group, columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise ValueError(
            f"{path}: damaged ({error}); remove its directory and ingest again"
        ) from error


def _stream(shard: Path, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    if _n_bytes(shard, columns) > ALONE_BYTES:
        yield from _dataset(shard, columns).iter_batches(batch_format="pyarrow", batch_size=None)
        return
    for place in _row_groups(shard):
        yield _read(Path(place["file"]), place["group"], columns)


def _n_bytes(shard: Path, columns: tuple[str, ...]) -> int:
    """Count what columns of a subject take in memory."""
    manifest = Manifest.read(shard)
    widths = {"image": 3 * manifest.image_size**2}
    widths |= {side: 4 * n_vertices for side, n_vertices in manifest.n_vertices.items()}
    return manifest.n_images * sum(widths.get(column, 8) for column in columns)
