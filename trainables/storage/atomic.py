"""Atomic writes, and checksums that detect damaged files.

A file is written to a temporary file in the same directory, flushed to disk and renamed, and the
directory is flushed; a write that fails leaves nothing behind. Parquet pages carry checksums, which
reading verifies.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainables.storage.disk_space import full_disk_described
from trainables.storage.local_files import rename, sync_file
from trainables.storage.s3_mirror import upload
from trainables.storage.temporary_files import temporary_name

if TYPE_CHECKING:
    import pyarrow as pa

CHECKED: Final[dict[str, Any]] = {"write_page_checksum": True}
"""Options with which every Parquet file is written."""
VERIFIED: Final[dict[str, Any]] = {"page_checksum_verification": True}
"""Options with which this program's Parquet files are read."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary file to write to, which replaces path when the block ends.

    If the block raises, as on a full disk, the temporary file is removed and path is unchanged. A
    file of a mirror is uploaded to S3 before it is renamed here. The mode is that of the umask,
    whatever the block's library chooses. Raises DiskFull for an error of the kind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(temporary_name(path.name))
    try:
        with full_disk_described(path.parent):
            mode = _create(beside)
            yield beside
            if stat.S_IMODE(beside.stat().st_mode) != mode:
                beside.chmod(mode)
            sync_file(beside)
        upload(beside, path)
        rename(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _create(path: Path) -> int:
    """Create an empty file; return its mode, which the umask or the directory decides."""
    with path.open("xb") as file:
        return stat.S_IMODE(os.fstat(file.fileno()).st_mode)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_write(path) as beside:
        beside.write_text(text, encoding="utf-8")


def append_line(path: Path, line: str, *, to_s3: bool) -> None:
    """Append a line to a text file; to_s3: also upload the whole file, if path is in a mirror."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with full_disk_described(path.parent), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    if to_s3:
        upload(path, path)


def write_parquet(path: Path, table: "pa.Table", **options: Any) -> None:
    """Write a table atomically, with one checksum per page; options are ``pyarrow.parquet``'s."""
    import pyarrow.parquet as pq  # slow; not needed by a command's --help

    with atomic_write(path) as beside:
        pq.write_table(table, beside, **{"compression": "zstd", **CHECKED, **options})


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> "pa.Table":
    """Read a table and verify the checksums of its pages.

    Raises OSError or pyarrow's errors if the file is damaged.
    """
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=columns and list(columns), **VERIFIED)


def hash_file(path: Path) -> str:
    """Hash a file's bytes (SHA-256, hex)."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_files(paths: Iterable[Path]) -> dict[str, str]:
    """Hash files (SHA-256, hex); return the hashes by file name, sorted by name."""
    return {path.name: hash_file(path) for path in sorted(paths)}
