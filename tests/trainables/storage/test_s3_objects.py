"""Versions of objects in S3: the ETag decides which one a local copy is of."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import IncompleteReadError

from tests.builders.s3_server import BUCKET, s3
from trainables.storage import s3_objects
from trainables.storage.atomic import write_text
from trainables.storage.s3_mirror import place, pull
from trainables.storage.s3_objects import S3Object

KEY = "runs/trials/t.json"
FAILED, FINISHED = b'{"status": "failed  "}', b'{"status": "finished"}'


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with s3() as found:
        yield found


@pytest.fixture
def copy(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of an object's copy on this machine."""
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path))
    return place(f"s3://{BUCKET}/{KEY}")


def put(client: Any, body: bytes) -> None:
    client.put_object(Bucket=BUCKET, Key=KEY, Body=body)


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in S3 happens within one second."""
    listed = s3_objects.objects_below

    def at_once(bucket: str, key: str) -> Iterator[S3Object]:
        when = datetime(2024, 5, 1, 12, 0, 7, tzinfo=UTC)
        return (replace(one, modified=when) for one in listed(bucket, key))

    monkeypatch.setattr("trainables.storage.s3_mirror.objects_below", at_once)


@pytest.mark.usefixtures("one_second")
def test_a_version_of_the_same_size_in_the_same_second_is_noticed(client: Any, copy: Path) -> None:
    for body in (FAILED, FINISHED, FAILED):
        put(client, body)
        pull(copy)
        assert copy.read_bytes() == body
    assert int(copy.stat().st_mtime) == int(datetime(2024, 5, 1, 12, 0, 7, tzinfo=UTC).timestamp())


def test_a_copy_that_was_changed_here_is_fetched_again(client: Any, copy: Path) -> None:
    put(client, FINISHED)
    pull(copy)
    copy.write_bytes(FAILED)
    pull(copy)
    assert copy.read_bytes() == FINISHED


@pytest.mark.parametrize("large", [False, True])
def test_an_object_replaced_between_listing_and_reading_is_read_as_one_version(
    client: Any, copy: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    monkeypatch.setattr(s3_objects, "_IN_PARTS", 0 if large else 2**20)
    name = "download_file" if large else "get_object"
    read, replaced = getattr(client, name), []

    def late(*at: Any, **options: Any) -> Any:
        if not replaced:
            replaced.append(put(client, FINISHED))
        return read(*at, **options)

    put(client, FAILED)
    monkeypatch.setattr(client, name, late)
    pull(copy)
    assert copy.read_bytes() == FINISHED
    monkeypatch.setattr(client, name, lambda *at, **options: pytest.fail("it is current"))
    pull(copy)


def test_an_object_removed_between_listing_and_reading_is_gone_here_too(
    client: Any, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = client.get_object

    def late(**options: Any) -> Any:
        client.delete_object(Bucket=BUCKET, Key=KEY)
        return get(**options)

    put(client, FAILED)
    pull(copy)
    put(client, FINISHED)
    monkeypatch.setattr(client, "get_object", late)
    pull(copy)
    assert list(copy.parent.iterdir()) == []


def test_a_version_that_another_machine_replaced_at_once_is_not_taken_for_this_ones(
    client: Any, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between an upload and the question for its ETag, another machine uploads."""
    head = client.head_object

    def late(**options: Any) -> Any:
        put(client, FAILED)
        return head(**options)

    monkeypatch.setattr(client, "head_object", late)
    write_text(copy, FINISHED.decode())
    monkeypatch.undo()  # the cache's variable too: a path knows its address without it
    pull(copy)
    assert copy.read_bytes() == FAILED


def test_a_download_that_breaks_off_is_tried_again_and_then_reported(
    client: Any, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, FINISHED)
    [version] = s3_objects.objects_below(BUCKET, KEY)
    read, breaks = S3Object._copy_to, [2]

    def breaking(self: S3Object, path: Path) -> bool:
        path.write_bytes(b"half")
        breaks[0] -= 1
        if breaks[0] >= 0:
            raise IncompleteReadError(actual_bytes=4, expected_bytes=22)
        return read(self, path)

    monkeypatch.setattr(S3Object, "_copy_to", breaking)
    pull(copy)
    assert copy.read_bytes() == FINISHED
    breaks[0], refused = 99, copy.with_name("u.json")
    with pytest.raises(IncompleteReadError):
        version.download(refused)


def test_a_file_with_many_parts_is_current_after_its_upload(client: Any, copy: Path) -> None:
    """An ETag of several parts is no digest of the content; it decides all the same."""
    copy.parent.mkdir(parents=True)
    copy.write_bytes(os.urandom(9 * 2**20))
    uploaded = S3Object.upload(copy, BUCKET, KEY)
    assert uploaded is not None
    assert uploaded.etag.endswith('-2"')
    uploaded.mark(copy)
    [listed] = s3_objects.objects_below(BUCKET, KEY)
    assert listed.is_copied_to(copy)
    other = copy.with_name("other")
    assert listed.download(other) == listed
    assert other.read_bytes() == copy.read_bytes()
