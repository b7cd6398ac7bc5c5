"""A subject's shards on disk: their Arrow schemas, their manifest, writing and reading.

``DATA/nsd-subj01/`` holds ``rows-00000.parquet …`` (one row an image with its responses),
``vertices.parquet`` (one row a vertex) and ``manifest.json``, which is written last:
a directory without a manifest is not a subject.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from trainables.spec import NAME_RULE, Cell, digest, is_name
from trainables.spec.rois import HEMISPHERES, ROI_ORDER
from trainables.storage.atomic import CHECKED, VERIFIED, read_parquet
from trainables.storage.s3_mirror import pull

SCHEMA_VERSION: Final = 1
ROWS_PER_GROUP: Final = 64
ROWS_PER_FILE: Final = 1024
MANIFEST: Final = "manifest.json"
VERTICES: Final = "vertices.parquet"

TRAIN: Final = "train"
TEST: Final = "test"


def row_schema(image_size: int, n_vertices: dict[str, int]) -> pa.Schema:
    """Declare one image with its responses.

    image: 3 x image_size x image_size uint8, channels first. lh, rh: float32 responses, one a
    vertex of challenge space. index: row of the response file. order: place in the split's order.
    """
    return pa.schema(
        [
            pa.field("index", pa.int32(), nullable=False),
            pa.field("stimulus", pa.string(), nullable=False),
            pa.field("split", pa.string(), nullable=False),
            pa.field("order", pa.int32(), nullable=False),
            pa.field("image", pa.binary(3 * image_size * image_size), nullable=False),
            *(
                pa.field(hemisphere, pa.list_(pa.float32(), n_vertices[hemisphere]), nullable=False)
                for hemisphere in HEMISPHERES
            ),
        ]
    )


VERTEX_SCHEMA: Final = pa.schema(
    [
        pa.field("hemisphere", pa.string(), nullable=False),
        pa.field("vertex", pa.int32(), nullable=False),
        pa.field("fsaverage", pa.int32()),
        pa.field("noise_ceiling", pa.float32()),
        pa.field("rois", pa.list_(pa.string()), nullable=False),
    ]
)
"""vertex: column of the response matrix. fsaverage: vertex of the fsaverage mesh (0-163,841).
noise_ceiling: the highest r that a perfect model could reach; null where not given."""

SURFACE_VERTEX_SCHEMA: Final = pa.schema(
    [
        *VERTEX_SCHEMA,
        pa.field("grayordinate", pa.int32(), nullable=False),
        pa.field("fslr", pa.int32(), nullable=False),
        pa.field("prf_r2", pa.float32(), nullable=False),
    ]
)
"""Of a source in CIFTI files. grayordinate: column of the source's files. fslr: vertex of the
hemisphere's 32k fsLR mesh. prf_r2: variance that the pRF model explains, in the source's unit."""


@dataclass(frozen=True)
class Manifest:
    """What a subject's directory holds, written when all of it is there."""

    dataset: str
    subject: str
    image_size: int
    n_images: int
    n_train: int
    n_test: int
    n_vertices: dict[str, int]
    cells: dict[str, dict[str, int]]
    """Vertices of each ROI: ``{"lh": {"V1v": 704, …}, "rh": …}``; empty ROIs are absent."""
    split: str
    split_digest: str
    source: str
    """Digest of the source's files (small ones by content, others by size): a change is noticed."""
    content: str
    """Digest of the images, the responses and the ROI membership as they were written."""
    files: dict[str, str]
    """SHA-256 of each file beside this manifest."""
    schema_version: int = SCHEMA_VERSION
    choices: dict[str, str] = field(default_factory=dict)
    """What else was decided at ingest, by name; none for the Algonauts layout."""

    @property
    def data(self) -> str:
        """Digest of all that changes a score: images, responses, membership, split."""
        return digest(
            [self.content, self.split_digest, self.image_size, self.cells, self.schema_version]
        )

    def to_json(self) -> str:
        """Serialise, readable by a person."""
        content = asdict(self)
        if not self.choices:
            del content["choices"]
        return json.dumps({**content, "data": self.data}, indent=2) + "\n"

    @classmethod
    def read(cls, shard: Path) -> Self:
        """Read a subject's manifest; raise ValueError naming the file when it can't be used."""
        path = shard / MANIFEST
        try:
            content: dict[str, Any] = json.loads(path.read_text())
            content.pop("data", None)
            manifest = cls(**content)
        except (OSError, json.JSONDecodeError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: not a manifest ({error}); ingest this subject again") from (
                error
            )
        if manifest.schema_version != SCHEMA_VERSION:
            raise ValueError(
                f"{path}: schema version {manifest.schema_version}, this program reads "
                f"{SCHEMA_VERSION}; remove {shard} and ingest again"
            )
        named = [manifest.dataset, manifest.subject, *manifest.rois, *manifest.files]
        if wrong := [name for name in named if not is_name(name)]:
            raise ValueError(f"{path}: {wrong[0]!r} names no file; expected {NAME_RULE}")
        return manifest

    @property
    def rois(self) -> list[str]:
        """Name the ROIs of both hemispheres, sorted."""
        return sorted({roi for cells in self.cells.values() for roi in cells})


def list_shards(data: Path) -> list[Path]:
    """List the complete subject directories of a data directory, sorted by name."""
    return sorted(path.parent for path in data.glob(f"*/{MANIFEST}") if path.parent.name[0] != ".")


def list_cells(data: Path) -> list[Cell]:
    """List every cell of a data directory, by subject, hemisphere and ROI order.

    Raises ValueError when there is no ingested subject, or a manifest can't be read.
    """
    shards = list_shards(data)
    if not shards:
        raise ValueError(
            f"{data}: no ingested subject found (expected SUBJECT/{MANIFEST}); "
            "run: python -m orchestrator.ingest algonauts SRC --out " + str(data)
        )
    manifests = [Manifest.read(shard) for shard in shards]
    return [
        Cell(m.dataset, m.subject, hemisphere, roi, m.cells[hemisphere][roi], m.data)
        for m in manifests
        for hemisphere in HEMISPHERES
        for roi in sorted(m.cells.get(hemisphere, {}), key=_roi_rank)
    ]


def _roi_rank(roi: str) -> tuple[int, str]:
    return (ROI_ORDER.index(roi) if roi in ROI_ORDER else len(ROI_ORDER), roi)


def read_vertices(shard: Path, cell: Cell) -> "np.ndarray[Any, np.dtype[np.int32]]":
    """Read a cell's vertices: (n_vertices,) columns of its hemisphere's responses, ascending."""
    table = read_parquet(shard / VERTICES, ["hemisphere", "vertex", "rois"])
    frame = table.to_pandas()
    chosen = frame[frame["hemisphere"] == cell.hemisphere]
    vertices = chosen.loc[[cell.roi in rois for rois in chosen["rois"]], "vertex"]
    return np.sort(vertices.to_numpy(dtype=np.int32))


def read_rows(shard: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Stream the rows of a subject, or a task, in index order, a few row groups at a time.

    Without Ray.
    """
    pull(shard)
    files = sorted(str(path) for path in shard.glob("rows-*.parquet"))
    options = pads.ParquetFragmentScanOptions(**VERIFIED)
    checked = pads.ParquetFileFormat(default_fragment_scan_options=options)
    for batch in pads.dataset(files, format=checked).to_batches(
        columns=list(columns), batch_size=ROWS_PER_GROUP, batch_readahead=2, fragment_readahead=1
    ):
        yield pa.Table.from_batches([batch])


def fixed_width(column: pa.ChunkedArray, dtype: type[np.generic]) -> "np.ndarray[Any, Any]":
    """View a fixed-size column as (n_rows, width) of dtype; one copy when it has many chunks."""
    parts = [_fixed_width_chunk(chunk, dtype) for chunk in column.chunks]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _fixed_width_chunk(chunk: pa.Array, dtype: type[np.generic]) -> "np.ndarray[Any, Any]":
    if isinstance(chunk, pa.ExtensionArray):
        chunk = chunk.storage
    if pa.types.is_fixed_size_list(chunk.type):
        flat: np.ndarray[Any, Any] = chunk.flatten().to_numpy()
    else:
        width = chunk.type.byte_width
        buffer = chunk.buffers()[1]
        raw = np.frombuffer(buffer, np.uint8, len(chunk) * width, chunk.offset * width)
        flat = raw.view(dtype)
    return flat.reshape(len(chunk), -1)


class RowWriter:
    """Write a subject's (or a task's) rows as Parquet files of at most ROWS_PER_FILE rows, hashed.

    Use it as a context manager on a directory that is renamed when all is there. The digest is
    of the rows, however many of them come at a time.
    """

    def __init__(self, directory: Path, schema: pa.Schema) -> None:
        self._directory = directory
        self._schema = schema
        self._pending: list[pa.Table] = []
        self._n_pending = 0
        self._n_files = 0
        self._writer: pq.ParquetWriter | None = None
        self._rows_in_file = 0
        hashed = [name for name in ("image", *HEMISPHERES) if name in schema.names]
        self._content = {name: hashlib.sha256() for name in hashed}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_file()

    def write(self, columns: dict[str, pa.Array]) -> None:
        """Append rows, given as one Arrow array a column of the schema."""
        table = pa.table(columns, schema=self._schema)
        for name, content in self._content.items():
            dtype = np.uint8 if name == "image" else np.float32
            content.update(np.ascontiguousarray(fixed_width(table[name], dtype)).data)
        self._pending.append(table)
        self._n_pending += table.num_rows
        while self._n_pending >= ROWS_PER_GROUP:
            self._flush_group()

    def close(self) -> str:
        """Write what is left; return the digest of images and responses."""
        while self._n_pending:
            self._flush_group()
        self._close_file()
        columns = "".join(content.hexdigest() for content in self._content.values())
        return hashlib.sha256(columns.encode()).hexdigest()

    def _flush_group(self) -> None:
        pending = pa.concat_tables(self._pending)
        group, rest = pending.slice(0, ROWS_PER_GROUP), pending.slice(ROWS_PER_GROUP)
        if self._writer is None:
            path = self._directory / f"rows-{self._n_files:05d}.parquet"
            self._writer = pq.ParquetWriter(
                path, self._schema, compression="none", use_dictionary=["split"], **CHECKED
            )
            self._n_files += 1
        self._writer.write_table(group, row_group_size=ROWS_PER_GROUP)
        self._pending, self._n_pending = [rest], rest.num_rows
        self._rows_in_file += group.num_rows
        if self._rows_in_file >= ROWS_PER_FILE:
            self._close_file()

    def _close_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._rows_in_file = None, 0


def hash_file(path: Path) -> str:
    """Hash a file's bytes (SHA-256, hex)."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_files(paths: Iterable[Path]) -> dict[str, str]:
    """Hash files by name, in name order."""
    return {path.name: hash_file(path) for path in sorted(paths)}
