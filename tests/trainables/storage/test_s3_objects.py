"""Versions of objects in S3: the ETag decides which one a local copy is of."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, IncompleteReadError

from tests.builders.s3_server import BUCKET, s3
from trainables.storage import s3_objects
from trainables.storage.atomic import write_text
from trainables.storage.s3_mirror import create, place, pull, pull_file
from trainables.storage.s3_objects import OnBytes, S3Object

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
    found = s3_objects.object_at

    def at_once(bucket: str, key: str) -> S3Object | None:
        about = found(bucket, key)
        return about and replace(about, modified=datetime(2024, 5, 1, 12, 0, 7, tzinfo=UTC))

    monkeypatch.setattr("trainables.storage.s3_mirror.object_at", at_once)


@pytest.mark.usefixtures("one_second")
def test_a_version_of_the_same_size_in_the_same_second_is_noticed(client: Any, copy: Path) -> None:
    for body in (FAILED, FINISHED, FAILED):
        put(client, body)
        pull_file(copy)
        assert copy.read_bytes() == body
    assert int(copy.stat().st_mtime) == int(datetime(2024, 5, 1, 12, 0, 7, tzinfo=UTC).timestamp())


def test_a_copy_that_was_changed_here_is_fetched_again(client: Any, copy: Path) -> None:
    put(client, FINISHED)
    pull_file(copy)
    copy.write_bytes(FAILED)
    pull_file(copy)
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
    pull_file(copy)
    assert copy.read_bytes() == FINISHED
    monkeypatch.setattr(client, name, lambda *at, **options: pytest.fail("it is current"))
    pull_file(copy)


def test_an_object_removed_between_listing_and_reading_is_gone_here_too(
    client: Any, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = client.get_object

    def late(**options: Any) -> Any:
        client.delete_object(Bucket=BUCKET, Key=KEY)
        return get(**options)

    put(client, FAILED)
    pull_file(copy)
    put(client, FINISHED)
    monkeypatch.setattr(client, "get_object", late)
    pull_file(copy)
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
    pull_file(copy)
    assert copy.read_bytes() == FAILED


def test_a_download_that_breaks_off_is_tried_again_and_then_reported(
    client: Any, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, FINISHED)
    version = s3_objects.object_at(BUCKET, KEY)
    assert version is not None
    read, breaks = S3Object._copy_to, [4]

    def breaking(self: S3Object, path: Path, on_bytes: OnBytes | None) -> bool:
        path.write_bytes(b"half")
        breaks[0] -= 1
        if breaks[0] >= 0:
            raise IncompleteReadError(actual_bytes=4, expected_bytes=22)
        return read(self, path, on_bytes)

    monkeypatch.setattr(S3Object, "_copy_to", breaking)
    pull_file(copy)
    assert copy.read_bytes() == FINISHED
    breaks[0], refused = 99, copy.with_name("u.json")
    with pytest.raises(IncompleteReadError):
        version.download(refused)
    assert breaks[0] == 99 - 5


def test_an_object_that_is_replaced_all_the_time_is_given_up(
    client: Any, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, FINISHED)
    version = s3_objects.object_at(BUCKET, KEY)
    assert version is not None
    attempts: list[Path] = []
    monkeypatch.setattr(S3Object, "_copy_to", lambda self, path, _: attempts.append(path))
    with pytest.raises(OSError, match=f"^s3://{BUCKET}/{KEY}: is being replaced all the time$"):
        version.download(copy)
    assert attempts == [copy] * 5


def test_a_file_with_many_parts_is_current_after_its_upload(client: Any, copy: Path) -> None:
    """An ETag of several parts is no digest of the content; it decides all the same."""
    copy.parent.mkdir(parents=True)
    copy.write_bytes(os.urandom(9 * 2**20))
    uploaded = S3Object.upload(copy, BUCKET, KEY)
    assert uploaded is not None
    assert uploaded.etag.endswith('-2"')
    uploaded.mark(copy)
    listed = s3_objects.object_at(BUCKET, KEY)
    assert listed is not None
    assert listed.is_copied_to(copy)
    other = copy.with_name("other")
    assert listed.download(other) == listed
    assert other.read_bytes() == copy.read_bytes()


@pytest.mark.parametrize("lost", [1, 2])
def test_an_object_whose_creation_was_repeated_by_the_client_is_its_own(
    client: Any, copy: Path, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """The answers to the first requests are lost, so that S3 has the object already."""
    create_object, put_object = s3_objects.create_object, client.put_object

    def repeated(**options: Any) -> Any:
        for _ in range(lost):
            with suppress(ClientError):
                put_object(**options)
        return put_object(**options)

    key = f"locks/{lost}"
    monkeypatch.setattr(client, "put_object", repeated)
    assert create_object(b"mine", BUCKET, key)
    assert not create_object(b"mine", BUCKET, key)
    monkeypatch.undo()
    assert not create_object(b"other", BUCKET, key)
    assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"mine"


@pytest.mark.parametrize(("conflicts", "created"), [(1, True), (4, True), (5, False)])
def test_a_creation_that_meets_another_one_is_tried_again(
    client: Any, monkeypatch: pytest.MonkeyPatch, conflicts: int, created: bool
) -> None:
    put_object, left = client.put_object, [conflicts]
    answer = {"Error": {"Code": "ConditionalRequestConflict"}}
    metadata = {"ResponseMetadata": {"HTTPStatusCode": 409}}

    def conflicting(**options: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise ClientError({**answer, **metadata}, "PutObject")
        return put_object(**options)

    monkeypatch.setattr(s3_objects, "_CONFLICT_SECONDS", 0.0)
    monkeypatch.setattr(client, "put_object", conflicting)
    assert s3_objects.create_object(b"mine", BUCKET, f"locks/after-{conflicts}") == created


def test_a_creation_in_a_bucket_that_is_not_there_is_reported_with_the_cure(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path))
    (tmp_path / "lock").write_text("mine")
    with pytest.raises(OSError, match=r"s3://none/lock: .*check that the bucket exists"):
        create(tmp_path / "lock", place("s3://none/lock"))


def test_only_objects_below_a_directory_are_listed(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not its siblings, whatever their names, nor the mark by which S3's console keeps it."""
    for key in ("d/a", "d/b/c", "d/", "d-2026/a", "d-2026/../../x", "d.json"):
        client.put_object(Bucket=BUCKET, Key=key, Body=b"")
    assert [one.key for one in s3_objects.objects_below(BUCKET, "d")] == ["d/a", "d/b/c"]
    assert s3_objects.object_at(BUCKET, "d") is None
    client.delete_object(Bucket=BUCKET, Key="d-2026/../../x")
    assert {"d/a", "d.json"} < {one.key for one in s3_objects.objects_below(BUCKET, "")}


def test_a_download_is_checked_with_its_bytes_before_it_starts(client: Any, copy: Path) -> None:
    checked: list[tuple[Path, int]] = []

    def check(path: Path, n_bytes: int) -> None:
        checked.append((path, n_bytes))
        if len(checked) < 3:
            raise InterruptedError

    put(client, FINISHED)
    with pytest.raises(InterruptedError):
        pull(copy.parent, check=check)
    with pytest.raises(InterruptedError):
        pull_file(copy, check)
    assert not copy.parent.exists()
    for _ in range(2):  # the second time it is current
        pull_file(copy, check)
    assert checked == [(copy, len(FINISHED))] * 3


def test_a_download_in_parts_is_checked_while_it_runs(
    client: Any, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_objects, "_IN_PARTS", 0)

    def check(path: Path, n_bytes: int) -> None:
        assert path == copy
        if n_bytes == 0:
            raise InterruptedError

    put(client, FINISHED)
    with pytest.raises(InterruptedError):
        pull_file(copy, check)
    assert list(copy.parent.iterdir()) == []
