"""Shards whose files were edited, with a manifest that agrees with them or not."""

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.data.data_directory import manifest_file, row_file
from trainables.storage.atomic import hash_file


def trust_files(shard: Path) -> None:
    """Write the SHA-256 of a shard's files, as they are now, to its manifest."""
    manifest = json.loads(manifest_file(shard).read_text(encoding="utf-8"))
    manifest["files"] = {name: hash_file(shard / name) for name in manifest["files"]}
    manifest_file(shard).write_text(json.dumps(manifest), encoding="utf-8")


def rows_of(shard: Path) -> Path:
    return row_file(shard, 0)


def of_other_ingest(shard: Path, pristine: Path) -> None:
    shutil.copy(rows_of(pristine / "other" / "nsd-subj01"), shard)


def cut(shard: Path, pristine: Path) -> None:
    os.truncate(rows_of(shard), rows_of(shard).stat().st_size - 100)


def emptied(shard: Path, pristine: Path) -> None:
    rows_of(shard).write_bytes(b"")


def removed(shard: Path, pristine: Path) -> None:
    rows_of(shard).unlink()


def linked_in_a_circle(shard: Path, pristine: Path) -> None:
    rows_of(shard).unlink()
    rows_of(shard).symlink_to(rows_of(shard))


def replaced_by_a_pipe(shard: Path, pristine: Path) -> None:
    rows_of(shard).unlink()
    os.mkfifo(rows_of(shard))


def replaced_by_a_directory(shard: Path, pristine: Path) -> None:
    rows_of(shard).unlink()
    rows_of(shard).mkdir()


def grouped_otherwise(shard: Path, pristine: Path) -> None:
    pq.write_table(pq.read_table(rows_of(shard)), rows_of(shard), row_group_size=10)


def given_a_column(shard: Path, pristine: Path) -> None:
    table = pq.read_table(rows_of(shard))
    pq.write_table(table.append_column("more", pa.nulls(len(table))), rows_of(shard))
