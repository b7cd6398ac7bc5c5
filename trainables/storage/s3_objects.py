"""Objects in S3: listed, uploaded and downloaded by version, and the connection to S3.

A local copy's modification time is its object's: the second as S3 reports it, and in place of its
fraction a digest of the ETag. A copy is thus current only if it was made from that version, and any
change of the copy itself marks it as different.
"""

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self

_NANOSECONDS: Final = 10**9
_VERSION: Final = "cortex-sweep-version"
"""Metadata by which the uploader of a version recognises it."""
_IN_PARTS: Final = 8 * 2**20
"""Bytes above which an object is downloaded in parts, several at a time."""
CONNECT_SECONDS: Final = 4.0
READ_SECONDS: Final = 6.0
"""Timeouts of the first request, of which there are at most two."""
_ATTEMPTS: Final = 5
"""Downloads of an object that is replaced meanwhile, or whose connection breaks off; creations of
one that another request is creating."""
_CONFLICT_SECONDS: Final = 0.2
"""Wait before a creation that met another one is tried again."""

OnBytes = Callable[[int], None]
"""Called with the bytes that came of an object in parts, in threads of the client; what it
raises ends the download: no further part is requested."""


@dataclass(frozen=True)
class S3Object:
    """One version of an object."""

    bucket: str
    key: str
    size: int
    etag: str
    modified: datetime

    @classmethod
    def upload(cls, source: Path, bucket: str, key: str) -> Self | None:
        """Upload a file atomically; return the new version, or None if it was replaced at once."""
        version = uuid.uuid4().hex
        extra = {"Metadata": {_VERSION: version}}
        client().upload_file(str(source), bucket, key, ExtraArgs=extra)
        head = client().head_object(Bucket=bucket, Key=key)
        return cls._described(bucket, key, head) if _version(head) == version else None

    @classmethod
    def _described(cls, bucket: str, key: str, head: dict[str, Any]) -> Self:
        return cls(bucket, key, head["ContentLength"], head["ETag"], head["LastModified"])

    def mark(self, copy: Path) -> None:
        """Mark a file as a copy of this version."""
        os.utime(copy, ns=(self._time, self._time))

    def is_copied_to(self, path: Path) -> bool:
        """Return whether a file is a copy of this version."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        return status.st_size == self.size and status.st_mtime_ns == self._time

    @property
    def _time(self) -> int:
        digest = hashlib.sha256(self.etag.encode()).digest()
        fraction = int.from_bytes(digest[:8], "big") % _NANOSECONDS
        return int(self.modified.timestamp()) * _NANOSECONDS + fraction

    def download(self, path: Path, on_bytes: OnBytes | None = None) -> Self:
        """Write this version, or the one that has replaced it, to a file; return the version.

        Raises FileNotFoundError if the object has been removed.
        """
        from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

        version = self
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                if version._copy_to(path, on_bytes):
                    return version
                version = version._now()
            except ClientError as error:
                if _status(error) == HTTPStatus.NOT_FOUND:
                    raise FileNotFoundError(f"s3://{self.bucket}/{self.key}") from error
                raise
            except (HTTPClientError, IncompleteReadError):  # the connection broke off
                if attempt == _ATTEMPTS:
                    raise
        raise OSError(f"s3://{self.bucket}/{self.key}: is being replaced all the time")

    def _now(self) -> Self:
        head = client().head_object(Bucket=self.bucket, Key=self.key)
        return self._described(self.bucket, self.key, head)

    def _copy_to(self, path: Path, on_bytes: OnBytes | None) -> bool:
        """Write exactly this version to a file; return False if it has been replaced."""
        if self.size > _IN_PARTS:
            client().download_file(self.bucket, self.key, str(path), Callback=on_bytes)
            return self._now().etag == self.etag
        from botocore.exceptions import ClientError

        try:
            found = client().get_object(Bucket=self.bucket, Key=self.key, IfMatch=self.etag)
        except ClientError as error:
            if _status(error) == HTTPStatus.PRECONDITION_FAILED:
                return False
            raise
        path.write_bytes(found["Body"].read())
        return True


def _status(error: Any) -> int:
    """Return the HTTP status of a client's error."""
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


def _version(head: dict[str, Any]) -> str | None:
    """Return the version that the uploader of an object gave it."""
    version: str | None = head.get("Metadata", {}).get(_VERSION)
    return version


def _head(bucket: str, key: str) -> dict[str, Any] | None:
    """Return the description of the object with exactly this key; None if there is none."""
    from botocore.exceptions import ClientError

    try:
        head: dict[str, Any] = client().head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if _status(error) == HTTPStatus.NOT_FOUND:
            return None
        raise
    return head


def create_object(body: bytes, bucket: str, key: str) -> bool:
    """Create an object by a conditional put; return False if it exists by another request.

    The client repeats a request whose answer was lost, and the repetition finds the object that
    the first one made: it is recognised by its version.
    """
    from botocore.exceptions import ClientError

    version = uuid.uuid4().hex
    for _ in range(_ATTEMPTS):
        try:
            client().put_object(
                Bucket=bucket, Key=key, Body=body, Metadata={_VERSION: version}, IfNoneMatch="*"
            )
        except ClientError as error:
            status = _status(error)
            if status == HTTPStatus.PRECONDITION_FAILED:
                break
            if status != HTTPStatus.CONFLICT:
                raise
            time.sleep(_CONFLICT_SECONDS)  # S3 asks for another attempt
        else:
            return True
    return (head := _head(bucket, key)) is not None and _version(head) == version


def object_at(bucket: str, key: str) -> S3Object | None:
    """Return the object with exactly this key; None if there is none."""
    head = _head(bucket, key)
    return None if head is None else S3Object._described(bucket, key, head)


def objects_below(bucket: str, key: str) -> Iterator[S3Object]:
    """List the objects below a key as below a directory; all of the bucket for an empty key.

    An object whose key ends in a slash, by which S3's console keeps an empty directory, is left
    out. Raises OSError for a key that would leave its directory.
    """
    prefix = f"{key}/" if key else ""
    for page in client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for one in page.get("Contents", ()):
            name = one["Key"]
            if ".." in name.split("/"):
                raise OSError(f"s3://{bucket}/{name}: leaves its directory; remove that object")
            if not name.endswith("/"):
                yield S3Object(bucket, name, one["Size"], one["ETag"], one["LastModified"])


@contextmanager
def bucket_errors(address: str) -> Iterator[None]:
    """Convert the client's errors to an OSError that names the address and the cure."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise OSError(
            f"{address}: {' '.join(str(error).split())}; check that the bucket exists and "
            "that your keys (aws configure, or AWS_… variables) can access it"
        ) from error


@cache
def client() -> Any:
    """Connect with boto3: keys, region and AWS_ENDPOINT_URL from the environment or ~/.aws."""
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 5}))


@cache
def check_bucket(bucket: str) -> None:
    """Check that S3 answers about a bucket within 15 seconds; whatever it answers is accepted.

    The client itself tries for minutes. Raises botocore's errors.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError

    retries = {"mode": "standard", "total_max_attempts": 2}
    brief = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries=retries)
    try:
        boto3.client("s3", config=brief).head_bucket(Bucket=bucket)
    except ClientError:
        return  # it answers; what is asked for next is reported by itself
