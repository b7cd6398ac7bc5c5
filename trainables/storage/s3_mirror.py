"""Directories in S3, used through a mirror of their files on the local machine.

``s3://BUCKET/PREFIX`` becomes the local path ``<cache>/cortex-sweep-s3/mirror-of/BUCKET/PREFIX``,
from which any machine can derive the address in S3. S3 is authoritative and the mirror is a copy: a
file is uploaded as one object before it appears locally, and before a file is read, it is
downloaded if S3 has a different version, by its ETag. Objects appear atomically, and the files that
refer to others (a manifest, the note of a checkpoint, a score file) are written last. For a path
outside a mirror, all functions here that transfer files do nothing.
"""

import shutil
from collections.abc import Callable, Iterable
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
    create_object,
    object_at,
    objects_below,
)
from trainables.storage.temporary_files import is_owned, is_temporary, temporary_name
from trainables.storage.user_cache import cache

SCHEME: Final = "s3://"
MIRRORS: Final = ("cortex-sweep-s3", "mirror-of")
"""Directories that hold all mirrors. Both names together mark a path as one in a mirror."""
CheckDownload = Callable[[Path, int], None]
"""Called with a path and the bytes of the object that is to be downloaded there, before it is, and
with 0 bytes while a large one is; what it raises ends the download."""
LARGE: Final = (".safetensors",)
"""Suffixes of files that are copied only when their directory or name is requested."""
APPENDED: Final = (".jsonl",)
"""Suffixes of files that grow here by lines, of which the last may not be in S3 yet."""


def allow(path: Path, n_bytes: int) -> None:
    """Allow a download, whatever its size."""


def is_large(path: Path) -> bool:
    """Return whether a file is copied only when needed: weights, images, predictions."""
    of_rows = path.name.startswith(("rows-", "trials-", "images-"))
    return path.suffix in LARGE or of_rows or path.parts[-3:-2] == ("predictions",)


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


def upload_directory(source: Path, directory: Path, last: str) -> None:
    """Upload the files of source as those of a mirror's directory, the one named last at the end.

    last: name of the file that refers to the others.
    """
    if _origin(directory) is not None:
        for path in sorted(source.iterdir(), key=lambda one: one.name == last):
            upload(path, directory / path.name)


def create(source: Path, path: Path) -> None:
    """Create path from source atomically unless it exists: by a hard link or a conditional put.

    Without hard links, an empty file is created first (see ``local_files.create``). Raises
    FileExistsError if path exists.
    """
    found = _origin(path)
    if found is None:
        local_files.create(source, path)
        return
    with bucket_errors(address(path)):
        if not create_object(source.read_bytes(), *found):
            raise FileExistsError(path)
    pull_file(path)


def exists(path: Path) -> bool:
    """Return whether a file exists: in S3 for a path of a mirror, else here."""
    found = _origin(path)
    if found is None:
        return path.is_file()
    with bucket_errors(address(path)):
        return object_at(*found) is not None


def remove(path: Path) -> None:
    """Remove a file or a directory, in S3 and locally, if it exists."""
    found = _origin(path)
    if found is not None:
        with bucket_errors(address(path)):
            file = object_at(*found) if found[1] else None
            for one in [*objects_below(*found), *([file] if file else [])]:
                client().delete_object(Bucket=one.bucket, Key=one.key)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def pull(
    directory: Path,
    *,
    skip: Callable[[Path], bool] = lambda path: False,
    prune: Iterable[Path] = (),
    check: CheckDownload = allow,
) -> None:
    """Download the objects below a directory that are missing or different in the mirror.

    skip: files not to download. prune: local files to remove if S3 does not have them, which must
    have been uploaded before they appeared here. Raises OSError if S3 can't be read.
    """
    found = _origin(directory)
    if found is None:
        return
    bucket, key = found
    here = [path for path in prune if path.is_file()]  # before S3 is asked: others may add files
    with bucket_errors(address(directory)):
        check_bucket(bucket)
        there = {
            directory / one.key[len(key) :].lstrip("/"): one for one in objects_below(bucket, key)
        }
        for local, about in there.items():
            if not skip(local):
                _update(about, local, check)
    for local in here:
        if local not in there and not (is_temporary(local) and is_owned(local)):
            local.unlink(missing_ok=True)


def pull_file(path: Path, check: CheckDownload = allow) -> None:
    """Download the object of a file if it is missing or different in the mirror.

    Raises OSError if S3 can't be read.
    """
    found = _origin(path)
    if found is not None:
        with bucket_errors(address(path)):
            check_bucket(found[0])
            if (about := object_at(*found)) is not None:
                _update(about, path, check)


def _update(about: S3Object, local: Path, check: CheckDownload) -> None:
    """Download an object, whichever version is there, unless its copy is current.

    A copy whose object has been removed meanwhile is removed. A log that begins with its object's
    lines is ahead of it, and kept.
    """
    if about.is_copied_to(local):
        return
    check(local, about.size)
    local.parent.mkdir(parents=True, exist_ok=True)
    beside = local.with_name(temporary_name(local.name))
    try:
        with full_disk_described(local.parent):
            about.download(beside, lambda _: check(local, 0)).mark(beside)
        if not _is_ahead(local, beside):
            beside.replace(local)
    except FileNotFoundError:
        local.unlink(missing_ok=True)
    finally:
        beside.unlink(missing_ok=True)


def _is_ahead(local: Path, downloaded: Path) -> bool:
    """Return whether a log has lines that its object lacks, after all lines of the object."""
    if local.suffix not in APPENDED or not local.is_file():
        return False
    mine, theirs = local.read_bytes(), downloaded.read_bytes()
    return len(mine) > len(theirs) and mine.startswith(theirs)
