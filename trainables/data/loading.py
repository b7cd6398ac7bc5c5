"""Read a subject's shards, the large ones with Ray Data."""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from trainables.data.data_directory import fetched_row_file, row_files
from trainables.data.rows import fixed_width
from trainables.data.shards import TEST, TRAIN, Manifest
from trainables.spec.rois import HEMISPHERES
from trainables.storage.atomic import VERIFIED

if TYPE_CHECKING:
    import ray.data

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
    for block in stream(shard, ("index", "split", "order", *HEMISPHERES)):
        rows = block["index"].to_numpy()
        split[rows] = block["split"].to_numpy(zero_copy_only=False)
        order[rows] = block["order"].to_numpy()
        for hemisphere, matrix in responses.items():
            matrix[rows] = fixed_width(block[hemisphere], np.float32)
        n_read += len(rows)
    if n_read != manifest.n_images:
        raise ValueError(
            f"{shard}: expected {manifest.n_images} rows, as in its manifest, found {n_read}; "
            "ingest it again"
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
    places = images.view(manifest.n_images, -1)
    for block in stream(shard, ("index", "image")):
        rows, pixels = block["index"].to_numpy(), fixed_width(block["image"], np.uint8)
        if device.type == "cpu":
            places.numpy()[rows] = pixels
        else:
            pinned = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True)
            pinned.numpy()[:] = pixels
            places[torch.from_numpy(rows.astype(np.int64)).to(device)] = pinned.to(device)
    return images


def _row_groups(shard: Path) -> list[dict[str, Any]]:
    return [
        {"file": str(path), "group": group}
        for path in row_files(shard)
        for group in range(pq.ParquetFile(path).num_row_groups)
    ]


def _dataset(shard: Path, columns: tuple[str, ...]) -> "ray.data.Dataset":
    """Read row groups in file order.

    ``ray.data.read_parquet`` lists and samples files in tasks of one CPU each, which never start
    where trials occupy every CPU. Here the row groups are listed without Ray.
    """
    import ray.data  # takes a second, which small shards and local runs do not need

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    logging.getLogger("ray.data").setLevel(logging.WARNING)

    def read(batch: Any) -> pa.Table:
        [places] = batch["places"]
        return pa.concat_tables(
            _read(Path(place["file"]), place["group"], columns) for place in places
        )

    groups = _row_groups(shard)
    tasks = [
        {"places": groups[k : k + ROW_GROUPS_PER_READ]}
        for k in range(0, len(groups), ROW_GROUPS_PER_READ)
    ]
    return ray.data.from_items(tasks).map_batches(
        read,
        batch_size=1,
        num_cpus=CPUS_PER_READ,
        compute=ray.data.TaskPoolStrategy(size=min(READS_AT_ONCE, len(tasks))),
    )


def _read(path: Path, group: int, columns: tuple[str, ...]) -> pa.Table:
    """Read columns of a row group; raise ValueError when the file is damaged."""
    try:
        return pq.ParquetFile(fetched_row_file(path), **VERIFIED).read_row_group(
            group, columns=list(columns)
        )
    except (OSError, pa.ArrowException) as error:
        raise ValueError(
            f"{path}: damaged ({error}); remove its directory and ingest again"
        ) from error


def stream(shard: Path, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    """Read columns of a subject's rows, block by block; raise ValueError when one is damaged.

    Large reads use Ray Data if this process is connected to Ray; Ray is never started here.
    """
    if _n_bytes(shard, columns) > ALONE_BYTES and _in_ray():
        yield from _dataset(shard, columns).iter_batches(batch_format="pyarrow", batch_size=None)
        return
    for place in _row_groups(shard):
        yield _read(Path(place["file"]), place["group"], columns)


def _in_ray() -> bool:
    """Return whether this process is connected to Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def _n_bytes(shard: Path, columns: tuple[str, ...]) -> int:
    """Estimate the memory that columns of a subject need, in bytes."""
    manifest = Manifest.read(shard)
    widths = {"image": 3 * manifest.image_size**2}
    widths |= {side: 4 * n_vertices for side, n_vertices in manifest.n_vertices.items()}
    return manifest.n_images * sum(widths.get(column, 8) for column in columns)
