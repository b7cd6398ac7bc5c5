"""The shards of an image-classification task, on which fine-tuned backbones are evaluated.

``DATA/tasks/<name>/`` holds ``rows-00000.parquet …`` (one row per image with its label) and
``manifest.json``, which is written last: a directory without a manifest is incomplete.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.data.data_directory import manifest_file
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import TEST, TRAIN
from trainables.data.verification import RowCheck
from trainables.spec import digest
from trainables.spec.fields import Count, Int, Name, Size, Text
from trainables.spec.records import read_record, record

TASK_SCHEMA_VERSION: Final = 1


def task_schema(image_size: int) -> pa.Schema:
    """Return the Arrow schema of an image with its label.

    index: position in the source. name: path within the source. label: index of the class in
    the manifest. image: 3 x image_size x image_size uint8, channels first.
    """
    return pa.schema(
        [
            pa.field("index", pa.int32(), nullable=False),
            pa.field("name", pa.string(), nullable=False),
            pa.field("label", pa.int32(), nullable=False),
            pa.field("split", pa.string(), nullable=False),
            pa.field("image", pa.binary(3 * image_size * image_size), nullable=False),
        ]
    )


@record
class TaskManifest:
    """Description of a task's directory, written after all its other files."""

    _derived = ("data",)

    name: Name
    image_size: Count
    n_images: Size
    n_train: Size
    n_test: Size
    classes: tuple[Text, ...]
    split: Text
    """The rule by which images were divided, in words."""
    split_digest: Text
    """Digest of names, labels and sides."""
    source: Text
    """Digest of the source's files: names and sizes."""
    content: Text
    """Digest of the images as they were written."""
    files: dict[Name, Text]
    """SHA-256 of each file beside this manifest."""
    schema_version: Int = TASK_SCHEMA_VERSION

    @property
    def data(self) -> str:
        """Digest of everything that affects a result: images, labels, split."""
        return digest([self.content, self.split_digest, self.image_size, self.schema_version])

    def to_json(self) -> str:
        """Serialise to indented JSON."""
        return json.dumps({**asdict(self), "data": self.data}, indent=2) + "\n"

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read a task's manifest; raise ValueError when it is missing or invalid."""
        cure = f"remove {directory} and ingest the task again"
        try:
            return read_record(manifest_file(directory), cls, cure)
        except FileNotFoundError as error:
            raise ValueError(f"{manifest_file(directory)}: no such file; {cure}") from error


@dataclass(frozen=True)
class TaskLabels:
    """A task's names, labels and split, without images; arrays are in index order."""

    names: list[str]
    labels: NDArray[np.int64]
    train_rows: NDArray[np.int64]
    test_rows: NDArray[np.int64]


def read_labels(directory: Path) -> TaskLabels:
    """Read a task's names, labels and split.

    Raises ValueError when a file is damaged or of another ingest, or rows are missing or twice.
    """
    check = RowCheck(directory, TaskManifest.read(directory).n_images)
    blocks = list(read_rows(directory, ("index", "name", "label", "split")))
    for block in blocks:
        check.add(block["index"].to_numpy())
    check.finish()
    table = pa.concat_tables(blocks).sort_by("index")
    split = table["split"].to_numpy()
    return TaskLabels(
        names=table["name"].to_pylist(),
        labels=table["label"].to_numpy().astype(np.int64),
        train_rows=np.flatnonzero(split == TRAIN),
        test_rows=np.flatnonzero(split == TEST),
    )


def read_task_batches(
    directory: Path, batch_size: int, rows: NDArray[np.int64] | None = None
) -> Iterator[Tensor]:
    """Stream a task's images, (batch, 3, size, size) uint8, in index order.

    rows: ascending row numbers, or None for all. A few row groups are in memory at a time.
    """
    size = TaskManifest.read(directory).image_size
    held: list[Tensor] = []
    for part in _pixels(directory, size, rows):
        held.append(part)
        while sum(map(len, held)) >= batch_size:
            joined = torch.cat(held)
            yield joined[:batch_size]
            held = [joined[batch_size:]]
    rest = torch.cat(held) if held else torch.empty(0)
    if len(rest):
        yield rest


def _pixels(directory: Path, size: int, rows: NDArray[np.int64] | None) -> Iterator[Tensor]:
    """Yield the selected images, one row group after another."""
    first = 0
    for block in read_rows(directory, ("image",)):
        if rows is not None:
            low, high = np.searchsorted(rows, [first, first + len(block)])
            wanted = rows[low:high] - first
        first += len(block)
        if rows is not None:
            block = block.take(wanted)
        if len(block):
            pixels = fixed_width(block["image"], np.uint8)
            yield torch.from_numpy(pixels.copy()).view(-1, 3, size, size)
