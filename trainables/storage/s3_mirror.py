"""Directories in S3, used through a mirror of their files on the local machine.

``s3://BUCKET/PREFIX`` becomes the local path ``<cache>/cortex-sweep-s3/mirror-of/BUCKET/PREFIX``,
from which any machine can derive the address in S3. S3 is authoritative and the mirror is a copy: a
file is uploaded as one object before it appears locally, and before a file is read, it is
downloaded if S3 has a different version, by its ETag. Objects appear atomically, and the files that
refer to others (a manifest, the note of a checkpoint, a score file) are written last. For a path
outside a mirror, all functions here that transfer files do nothing.
"""

import os
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

from trainables.storage import local_files, temporary_files
from trainables.storage.disk_space import full_disk_described
from trainables.storage.s3_objects import (
    S3Object,
    bucket_errors,
    check_bucket,
    client,
    objects_below,
)
from trainables.storage.temporary_files import is_owned, is_temporary, temporary_name

SCHEME: Final = "s3://"
MIRRORS: Final = ("cortex-sweep-s3", "mirror-of")
"""Directories that hold all mirrors. Both names together mark a path as one in a mirror."""
CACHE_VARIABLE: Final = "CORTEX_SWEEP_CACHE"
LARGE: Final = (".safetensors",)
"""Suffixes of files that are copied only when their directory or name is requested."""


def is_large(path: Path) -> bool:
    """Return whether a file is copied only when needed: weights, images, predictions."""
    of_images = path.name.startswith("rows-")
    return path.suffix in LARGE or of_images or path.parts[-3:-2] == ("predictions",)


def place(text: str) -> Path:
    """Return the local path of a directory: a mirror for ``s3://…``, else the path itself.

    Raises ValueError if the address has no bucket, or more than a bucket and a prefix, and for a
    local path inside a mirror.
    """
    if not text.startswith(SCHEME):
        if (found := _origin(Path(text).absolute())) is not None:
            raise ValueError(f"{text}: a mirror of S3; give {SCHEME}{'/'.join(found)}")
        return Path(text)
    bucket, _, prefix = text.removeprefix(SCHEME).partition("/")
    parts = [part for part in prefix.split("/") if part]
    if not bucket or any(mark in bucket for mark in "@:?") or any(p in (".", "..") for p in parts):
        raise ValueError(
            f"{text!r}: expected s3://BUCKET/PREFIX, keys in ~/.aws or AWS_… variables"
        )
    return cache().joinpath(*MIRRORS, bucket, *parts)


def cache() -> Path:
    """Return the directory of this machine in which mirrors are kept."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache").expanduser().resolve()


def address(path: Path) -> str:
    """Return the address of a path to show to users: ``s3://…`` for a mirror."""
    found = _origin(path)
    return f"{SCHEME}{found[0]}/{found[1]}" if found else str(path)


def is_mirror(path: Path) -> bool:
    """Return whether a path is in a mirror of S3."""
    return _origin(path) is not None


def remove_abandoned() -> list[Path]:
    """Remove temporary files that nobody owns from the mirrors of this machine; list them."""
    return temporary_files.remove_abandoned(cache().joinpath(*MIRRORS))


def _origin(path: Path) -> tuple[str, str] | None:
    """Derive bucket and key from a path; return None outside a mirror."""
    parts = path.parts
    for start, pair in enumerate(pairwise(parts)):
        if pair == MIRRORS and len(parts) > start + 2:
            bucket, *key = parts[start + 2 :]
            return bucket, "/".join(key)
    return None


def upload(source: Path, path: Path) -> None:
    """Upload a file's content atomically, as the S3 object of a mirror's path."""
    found = _origin(path)
    if found is None or any(part.startswith(".") for part in Path(found[1]).parts):
        return
    with bucket_errors(address(path)):
        about = S3Object.upload(source, *found)
    if about is not None:
        about.mark(source)


def upload_directory(directory: Path, last: str) -> None:
    """Upload the files of a new directory; last: name of the file that refers to the others."""
    if _origin(directory) is not None:
        for path in sorted(directory.iterdir(), key=lambda one: one.name == last):
            upload(path, path)


def create(source: Path, path: Path) -> None:
    """Create path from source atomically unless it exists: by a hard link or a conditional put.

    Without hard links, an empty file is created first (see ``local_files.create``). Raises
    FileExistsError if path exists.
    """
    found = _origin(path)
    if found is None:
        local_files.create(source, path)
        return
    from botocore.exceptions import ClientError

    try:
        body = source.read_bytes()
        client().put_object(Bucket=found[0], Key=found[1], Body=body, IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
            raise FileExistsError(path) from error
        raise OSError(f"{address(path)}: {error}") from error
    pull(path)


def remove(path: Path) -> None:
    """Remove a file or a directory, in S3 and locally, if it exists."""
    found = _origin(path)
    if found is not None:
        with bucket_errors(address(path)):
            for one in objects_below(*found):
                client().delete_object(Bucket=one.bucket, Key=one.key)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def pull(
    path: Path, *, skip: Callable[[Path], bool] = lambda path: False, prune: bool = False
) -> None:
    """Download the objects at a path or below it that are missing or different in the mirror.

    skip: files not to download. prune: remove local files that S3 does not have; only safe for
    the sole user of the directory. Raises OSError if S3 can't be read.
    """
    found = _origin(path)
    if found is None:
        return
    bucket, key = found
    with bucket_errors(address(path)):
        check_bucket(bucket)
        there = {
            path if one.key == key else path / one.key[len(key) :].lstrip("/"): one
            for one in objects_below(bucket, key)
        }
        for local, about in there.items():
            if not skip(local) and not about.is_copied_to(local):
                _download(about, local)
    if prune:
        for local in [one for one in path.rglob("*") if one.is_file() and one not in there]:
            if not (is_temporary(local) and is_owned(local)):
                local.unlink(missing_ok=True)


def _download(about: S3Object, local: Path) -> None:
    """Download an object, whichever version is there; remove the copy if there is none any more."""
    local.parent.mkdir(parents=True, exist_ok=True)
    beside = local.with_name(temporary_name(local.name))
    try:
        with full_disk_described(local.parent):
            about.download(beside).mark(beside)
        beside.replace(local)
    except FileNotFoundError:
        local.unlink(missing_ok=True)
    finally:
        beside.unlink(missing_ok=True)
