"""Compare ways to read a subject's images: plain pyarrow, the worker by itself, Ray Data.

python -m benchmarks.reading [--images 2000] [--image-size 224]

Rates are in bytes of images, after a warm-up that fills the page cache and starts Ray Data's worker
processes. The plain loop converts each row group to a tensor, as a script would. For images that
don't fit on the device, it then measures an epoch in random order from the file of on-disk images,
and its memory, in comparison with reading the file sequentially; both from disk, not from the page
cache.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from benchmarks.ceilings import timed
from benchmarks.small_shards import write_shards
from orchestrator.cluster.connection import connect
from trainables.data import loading
from trainables.data.data_directory import row_files
from trainables.data.disk_images import DiskImages
from trainables.data.rows import fixed_width

CPU = torch.device("cpu")


def main() -> None:
    """Time the three ways alternately; print rates and ratios with their spread."""
    parser = argparse.ArgumentParser(description="Reading a subject's images.")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    connect()
    with tempfile.TemporaryDirectory() as home:
        write_shards(Path(home), n_images=options.images, image_size=options.image_size)
        shard = Path(home) / "nsd-subj01"
        n_bytes = options.images * 3 * options.image_size**2
        times = measure(shard, options.repeats)
        images = DiskImages(shard, Path(home))
        order = torch.randperm(options.images)
        epochs = measure_epochs(images, order, options.repeats)
        memory = memory_of(images, order)
    for name, runs in times.items():
        rate = n_bytes / statistics.median(runs) / 1e9
        ratios = sorted(a / b for a, b in zip(times["plain pyarrow"], runs, strict=True))
        print(
            f"{name:14} {rate:5.2f} GB/s, {statistics.median(ratios):.2f} of plain "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    print(f"memory of an epoch: {1e-6 * memory:.0f} MB for {1e-6 * n_bytes:.0f} MB of images")
    for name in epochs:
        rates = sorted(n_bytes / seconds / 1e9 for seconds in epochs[name])
        print(f"{name:28} {statistics.median(rates):5.2f} GB/s ({rates[0]:.2f} to {rates[-1]:.2f})")


def measure(shard: Path, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each way by run; raise ValueError when their images differ."""
    ways: dict[str, Callable[[], Tensor]] = {
        "plain pyarrow": lambda: plain(shard),
        "alone": lambda: _with(2**62, shard),
        "Ray Data": lambda: _with(0, shard),
    }
    expected = plain(shard)
    for name, way in ways.items():
        if not torch.equal(way(), expected):
            raise ValueError(f"{name} and plain pyarrow read different images")
    del expected
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            times[name].append(timed(way, CPU))
    return times


def plain(shard: Path) -> Tensor:
    """Read every row group's images with pyarrow alone."""
    parts = []
    for path in row_files(shard):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["image"])
            parts.append(torch.from_numpy(fixed_width(table["image"], np.uint8).copy()))
    images = torch.cat(parts)
    size = round((images.shape[1] / 3) ** 0.5)
    return images.view(-1, 3, size, size)


def measure_epochs(images: DiskImages, order: Tensor, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of reading the file sequentially, and of an epoch in random order."""
    times: dict[str, list[float]] = {
        "the file, from start to end": [],
        "an epoch, in random order": [],
    }

    def from_start_to_end() -> None:
        os.lseek(images.file.fileno(), 0, os.SEEK_SET)
        while os.read(images.file.fileno(), 2**25):
            pass

    def epoch() -> None:
        for _ in images.read(order):
            pass

    for _ in range(repeats):
        for name, run in zip(times, (from_start_to_end, epoch), strict=True):
            os.fsync(images.file.fileno())
            os.posix_fadvise(images.file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            times[name].append(timed(run, CPU))
    return times


def memory_of(images: DiskImages, order: Tensor) -> int:
    """Return by how many bytes this process's anonymous memory grows during an epoch."""
    before = _anonymous_bytes()
    return max(_anonymous_bytes() for _ in images.read(order)) - before


def _anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise OSError("/proc/self/status has no RssAnon")


def _with(alone_bytes: int, shard: Path) -> Tensor:
    with patch.object(loading, "ALONE_BYTES", alone_bytes):
        return loading.read_images(shard, CPU)


if __name__ == "__main__":
    main()
