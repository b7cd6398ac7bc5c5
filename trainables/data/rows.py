"""Write, stream and hash the Parquet files of images and responses."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from trainables.data.data_directory import RowKind, fetch_rows, row_file, row_files
from trainables.data.verification import naming, verified_row_files
from trainables.spec.rois import SIDES
from trainables.storage.atomic import CHECKED, VERIFIED

ROWS_PER_ROW_GROUP: Final = 64

ROWS_PER_FILE: Final = 1024


def read_rows(
    shard: Path, columns: Sequence[str], *, verify: bool = True, kind: RowKind = "rows"
) -> Iterator[pa.Table]:
    """Stream the rows of a subject or task in index order, a few row groups at a time.

    verify: compare the files with their SHA-256 first. Without it, only the pages that are read
    are checked for damage. Raises ValueError with the name of a missing, damaged or other file.
    """
    find = verified_row_files if verify else row_files
    files = find(fetch_rows(shard, kind), kind)
    options = pads.ParquetFragmentScanOptions(**VERIFIED)
    checked = pads.ParquetFileFormat(default_fragment_scan_options=options)
    for path in files:
        with naming(path):
            yield from _batches(pads.dataset([str(path)], format=checked), columns)


def _batches(file: pads.Dataset, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Stream a file's rows by row groups."""
    for batch in file.to_batches(
        columns=list(columns),
        batch_size=ROWS_PER_ROW_GROUP,
        batch_readahead=2,
        fragment_readahead=1,
    ):
        yield pa.Table.from_batches([batch])


def fixed_width(column: pa.ChunkedArray, dtype: type[np.generic]) -> "np.ndarray[Any, Any]":
    """Return a fixed-size column as (n_rows, width) of dtype; several chunks are copied."""
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
    """Write and hash a subject's or task's rows as Parquet files of at most ROWS_PER_FILE rows.

    Use it as a context manager on a temporary directory, which is renamed when complete. The
    digest depends on the rows alone, not on how they are divided among calls of ``write``.
    """

    def __init__(self, directory: Path, schema: pa.Schema, kind: RowKind = "rows") -> None:
        self._directory = directory
        self._kind = kind
        self._schema = schema
        self._pending: list[pa.Table] = []
        self._n_pending = 0
        self._n_files = 0
        self._writer: pq.ParquetWriter | None = None
        self._rows_in_file = 0
        hashed = [name for name in ("image", *SIDES) if name in schema.names]
        self._content = {name: hashlib.sha256() for name in hashed}
        self._repetitive = [name for name in ("split",) if name in schema.names]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_file()

    def write(self, columns: dict[str, pa.Array]) -> None:
        """Append rows, given as one Arrow array per column of the schema."""
        table = pa.table(columns, schema=self._schema)
        for name, content in self._content.items():
            dtype = np.uint8 if name == "image" else np.float32
            content.update(np.ascontiguousarray(fixed_width(table[name], dtype)).data)
        self._pending.append(table)
        self._n_pending += table.num_rows
        while self._n_pending >= ROWS_PER_ROW_GROUP:
            self._flush_row_group()

    def close(self) -> str:
        """Write the remaining rows; return the digest of images and responses."""
        while self._n_pending:
            self._flush_row_group()
        self._close_file()
        columns = "".join(content.hexdigest() for content in self._content.values())
        return hashlib.sha256(columns.encode()).hexdigest()

    def _flush_row_group(self) -> None:
        pending = pa.concat_tables(self._pending)
        group, rest = pending.slice(0, ROWS_PER_ROW_GROUP), pending.slice(ROWS_PER_ROW_GROUP)
        if self._writer is None:
            path = row_file(self._directory, self._n_files, self._kind)
            self._writer = pq.ParquetWriter(
                path, self._schema, compression="none", use_dictionary=self._repetitive, **CHECKED
            )
            self._n_files += 1
        self._writer.write_table(group, row_group_size=ROWS_PER_ROW_GROUP)
        self._pending, self._n_pending = [rest], rest.num_rows
        self._rows_in_file += group.num_rows
        if self._rows_in_file >= ROWS_PER_FILE:
            self._close_file()

    def _close_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._rows_in_file = None, 0
