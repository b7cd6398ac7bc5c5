"""Directories in S3, used through a mirror of their files on the local machine.

``s3://BUCKET/PREFIX`` becomes the local path ``<cache>/cortex-sweep-s3/BUCKET/PREFIX``, from which
any machine can derive the address in S3. S3 is authoritative and the mirror is a copy: a file is
uploaded as one object before it appears locally, and before a file is read, it is downloaded if S3
has a different version. Objects appear atomically, and the files that refer to others (a manifest,
the note of a checkpoint, a score file) are written last. For a path outside a mirror, all functions
here that transfer files do nothing.
"""

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

SCHEME: Final = "s3://"
MARK: Final = "cortex-sweep-s3"
CACHE_VARIABLE: Final = "CORTEX_SWEEP_CACHE"
LARGE: Final = (".safetensors",)
"""Suffixes of files that are copied only when their directory or name is requested."""


_PULLED: Final = re.compile(r"\.(\d+)-\d+\.pulled(\.\w+)?$")
"""Matches a partial download, which is named by the process and thread that make it."""


def is_large(path: Path) -> bool:
    """Return whether a file is copied only when needed: weights, images, predictions."""
    of_images = path.name.startswith("rows-")
    return path.suffix in LARGE or of_images or path.parts[-3:-2] == ("predictions",)


def place(text: str) -> Path:
    """Return the local path of a directory: a mirror for ``s3://…``, else the path itself.

    Raises ValueError if the address has no bucket, or more than a bucket and a prefix.
    """
    if not text.startswith(SCHEME):
        return Path(text)
    bucket, _, prefix = text.removeprefix(SCHEME).partition("/")
    parts = [part for part in prefix.split("/") if part]
    if not bucket or any(mark in bucket for mark in "@:?") or any(p in (".", "..") for p in parts):
        raise ValueError(
            f"{text!r}: expected s3://BUCKET/PREFIX, keys in ~/.aws or AWS_… variables"
        )
    home = Path(os.environ.get(CACHE_VARIABLE) or "~/.cache").expanduser().resolve()
    return home.joinpath(MARK, bucket, *parts)


def address(path: Path) -> str:
    """Return the address of a path to show to users: ``s3://…`` for a mirror."""
    found = _origin(path)
    return f"{SCHEME}{found[0]}/{found[1]}" if found else str(path)


def is_mirror(path: Path) -> bool:
    """Return whether a path is in a mirror of S3."""
    return _origin(path) is not None


def _origin(path: Path) -> tuple[str, str] | None:
    """Derive bucket and key from a path; return None outside a mirror."""
    parts = path.parts
    if MARK not in parts:
        return None
    bucket, *key = parts[parts.index(MARK) + 1 :] or [""]
    return bucket, "/".join(key)


def upload(source: Path, path: Path) -> None:
    """Upload a file's content atomically, as the S3 object of a mirror's path."""
    found = _origin(path)
    if found is None or any(part.startswith(".") for part in Path(found[1]).parts):
        return
    with _s3_errors(path):
        _client().upload_file(str(source), *found)
        _mark(source, _client().head_object(Bucket=found[0], Key=found[1]))


def upload_directory(directory: Path, last: str) -> None:
    """Upload the files of a new directory; last: name of the file that refers to the others."""
    if _origin(directory) is not None:
        for path in sorted(directory.iterdir(), key=lambda one: one.name == last):
            upload(path, path)


def create(source: Path, path: Path) -> None:
    """Create path from source atomically unless it exists, by a hard link or a conditional put.

    Raises FileExistsError if path exists.
    """
    found = _origin(path)
    if found is None:
        os.link(source, path)
        return
    from botocore.exceptions import ClientError

    try:
        body = source.read_bytes()
        _client().put_object(Bucket=found[0], Key=found[1], Body=body, IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
            raise FileExistsError(path) from error
        raise OSError(f"{address(path)}: {error}") from error
    pull(path)


def remove(path: Path) -> None:
    """Remove a file or a directory, in S3 and locally, if it exists."""
    found = _origin(path)
    if found is not None:
        with _s3_errors(path):
            for key, _ in _listed(*found):
                _client().delete_object(Bucket=found[0], Key=key)
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
    with _s3_errors(path):
        there = {
            path if name == key else path / name[len(key) :].lstrip("/"): about
            for name, about in _listed(bucket, key)
        }
        for local, about in there.items():
            if not skip(local) and not _is_current(local, about):
                _download(bucket, about, local)
    if prune:
        for local in [one for one in path.rglob("*") if one.is_file() and one not in there]:
            if not _is_being_pulled(local):
                local.unlink(missing_ok=True)


def _listed(bucket: str, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """List the object with this key and all objects below it."""
    for page in _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
        for about in page.get("Contents", ()):
            name = about["Key"]
            if ".." in name.split("/"):
                raise OSError(f"{SCHEME}{bucket}/{name}: leaves its directory; remove that object")
            if name == key or name.startswith(f"{key}/") or not key:
                yield name, about


def _is_current(local: Path, about: dict[str, Any]) -> bool:
    try:
        status = local.stat()
    except FileNotFoundError:
        return False
    return status.st_size == about["Size"] and int(status.st_mtime) == int(
        about["LastModified"].timestamp()
    )


def _download(bucket: str, about: dict[str, Any], local: Path) -> None:
    local.parent.mkdir(parents=True, exist_ok=True)
    beside = local.with_name(f".{local.name}.{os.getpid()}-{threading.get_native_id()}.pulled")
    try:
        _client().download_file(bucket, about["Key"], str(beside))
        _mark(beside, about)
        beside.replace(local)
    finally:
        beside.unlink(missing_ok=True)


def _is_being_pulled(local: Path) -> bool:
    """Return whether a file is a partial download of a process that still runs on this machine."""
    found = _PULLED.search(local.name)
    return found is not None and Path(f"/proc/{found[1]}").exists()


def _mark(local: Path, about: dict[str, Any]) -> None:
    """Set a copy's modification time to its object's, by which changed versions are detected."""
    when = about["LastModified"].timestamp()
    os.utime(local, (when, when))


@contextmanager
def _s3_errors(path: Path) -> Iterator[None]:
    """Convert the client's errors to an OSError that names the address and the cure."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise OSError(
            f"{address(path)}: {' '.join(str(error).split())}; check that the bucket exists and "
            "that your keys (aws configure, or AWS_… variables) can access it"
        ) from error


@cache
def _client() -> Any:
    """Connect with boto3: keys, region and AWS_ENDPOINT_URL from the environment or ~/.aws."""
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 5}))
