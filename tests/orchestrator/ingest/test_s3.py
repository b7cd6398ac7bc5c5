"""Subjects and tasks ingested into S3: there for every machine, or not there at all."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.arguments import data_directory
from orchestrator.cli.errors import InputError
from orchestrator.ingest.algonauts.files import find_subjects
from orchestrator.ingest.writer import read_existing, write_subject
from tests.builders.algonauts_folder import write_folder
from tests.builders.algonauts_ingest import SETTINGS, batches, inspect
from tests.builders.s3_server import BUCKET, keys, s3
from trainables.data.data_directory import MANIFEST, DataDirectory, fetch_small, publish
from trainables.data.shards import Manifest
from trainables.storage.s3_mirror import place

DATA = f"s3://{BUCKET}/data"
SHARD = "nsd-subj01"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3() as found:
        monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / "first"))
        yield found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "source", (1,)).root


def existing(source: Path) -> Manifest | None:
    """Return what a new command finds of the subject."""
    return read_existing(find_subjects(source, [1], None)[0], data_directory(DATA), SETTINGS)


def ingest(source: Path) -> Manifest:
    subject = inspect(source)
    return write_subject(subject, batches(subject), data_directory(DATA), SETTINGS)


def failing_at(client: Any, end: str) -> Callable[..., None]:
    upload = client.upload_file

    def fail(source: str, bucket: str, key: str, **options: Any) -> None:
        if key.endswith(end):
            raise OSError("the connection broke off")
        upload(source, bucket, key, **options)

    return fail


@pytest.mark.parametrize("end", [MANIFEST, "rows-00000.parquet"])
def test_a_subject_whose_upload_failed_is_ingested_again(
    client: Any, source: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(client, "upload_file", failing_at(client, end))
        with pytest.raises(OSError, match="broke off"):
            ingest(source)
    assert list(place(DATA).glob(f"**/{MANIFEST}")) == []
    assert f"data/{SHARD}/{MANIFEST}" not in keys(client)
    assert existing(source) is None
    manifest = ingest(source)
    assert existing(source) == manifest
    assert {f"data/{SHARD}/{name}" for name in (*manifest.files, MANIFEST)} <= set(keys(client))


def test_another_machine_finds_a_subject_without_its_images(
    client: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = ingest(source)
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / "second"))
    assert existing(source) == manifest
    assert not list(data_directory(DATA).path.glob("*/rows-*"))
    client.delete_object(Bucket=BUCKET, Key=f"data/{SHARD}/rows-00000.parquet")
    with pytest.raises(InputError, match=r"already there, but rows-00000\.parquet is missing"):
        existing(source)


def test_what_was_removed_in_s3_is_not_listed_and_is_ingested_again(
    client: Any, source: Path, tmp_path: Path
) -> None:
    manifest = ingest(source)
    data = data_directory(DATA)
    task = tmp_path / "task"
    task.mkdir()
    (task / MANIFEST).write_text('{"name": "faces"}')
    publish(task, data.task("faces"))
    assert [path.name for path in (*data.shards(), *data.tasks())] == [SHARD]
    data.fetch()
    assert [path.name for path in (*data.shards(), *data.tasks())] == [SHARD, "faces"]
    for key in keys(client):
        client.delete_object(Bucket=BUCKET, Key=key)
    fetch_small(data.task("faces"))
    assert (data.shards(), data.tasks()) == ([data.shard(SHARD)], [])
    assert data_directory(DATA).shards() == []
    assert existing(source) is None
    assert ingest(source) == manifest


def test_a_subject_that_appears_while_s3_is_listed_stays(
    client: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another ingest of this machine publishes it just after the listing."""
    data = data_directory(DATA)
    pages = client.get_paginator

    def late(operation: str) -> Any:
        listed = list(pages(operation).paginate(Bucket=BUCKET, Prefix="data/"))
        monkeypatch.setattr(client, "get_paginator", pages)
        ingest(source)
        return type("Pages", (), {"paginate": lambda self, **at: listed})()

    monkeypatch.setattr(client, "get_paginator", late)
    DataDirectory(data.path).fetch()
    assert [path.name for path in data.shards()] == [SHARD]


def test_a_local_subject_without_a_manifest_is_still_refused(source: Path, tmp_path: Path) -> None:
    subject, out = inspect(source), DataDirectory(tmp_path / "data")
    write_subject(subject, batches(subject), out, SETTINGS)
    (out.shard(SHARD) / MANIFEST).unlink()
    with pytest.raises(InputError, match=r"manifest\.json: no such file"):
        read_existing(find_subjects(source, [1], None)[0], out, SETTINGS)
