"""Directories in S3: written whole, read when another has written, held by one."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.small_shards import write_shards
from orchestrator.cli.arguments import data_directory
from orchestrator.cli.errors import InputError
from orchestrator.execution.run_lock import acquire, owner_of
from orchestrator.sweep.__main__ import main as sweep
from tests.builders.leftovers import leftovers
from tests.builders.s3_server import BUCKET, keys, s3
from trainables.data.data_directory import DataDirectory
from trainables.data.rows import read_rows
from trainables.data.shards import list_rois
from trainables.results.run_directory import RunDirectory
from trainables.storage.atomic import atomic_write, read_parquet, write_parquet, write_text
from trainables.storage.s3_mirror import (
    address,
    create,
    exists,
    is_large,
    is_mirror,
    place,
    pull,
    remove,
    upload_directory,
)
from trainables.storage.stored_directory import StoredDirectory

RUNS = f"s3://{BUCKET}/lab/runs"
Machine = Callable[[str], None]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with s3() as found:
        yield found


@pytest.fixture
def machine(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """Go to a machine by its name: each has a cache of its own. The bucket is empty at first."""

    def go(name: str) -> None:
        monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / name))

    go("first")
    yield go
    for key in keys(client):
        client.delete_object(Bucket=BUCKET, Key=key)


def test_an_address_is_read_off_its_path_on_any_machine(machine: Machine) -> None:
    path = place(RUNS)
    assert is_mirror(path)
    assert address(path) == RUNS
    assert address(path / "scores" / "a.parquet") == f"{RUNS}/scores/a.parquet"
    assert address(Path("/srv/runs")) == "/srv/runs"
    assert place("runs") == Path("runs")


@pytest.mark.parametrize(
    "text",
    [
        "runs",
        "/srv/cortex-sweep-s3/bucket/runs",
        "cortex-sweep-s3",
        "/srv/mirror-of/cortex-sweep-s3/b",
        "/home/lab/cortex-sweep-s3-tests/mirror-of/b",
    ],
)
def test_a_local_path_is_local_whatever_its_names(client: Any, text: str) -> None:
    path = place(text)
    assert path == Path(text)
    assert not is_mirror(path / "trials" / "t.json")
    assert address(path) == text


def test_a_local_file_is_created_once_beside_what_it_is_made_from(tmp_path: Path) -> None:
    source, path = tmp_path / "source", tmp_path / "target"
    source.write_text("mine")
    assert not exists(path)
    create(source, path)
    assert path.read_text() == "mine"
    assert exists(path)
    with pytest.raises(FileExistsError):
        create(source, path)


def test_the_path_of_a_mirror_is_no_directory_to_give(machine: Machine) -> None:
    with pytest.raises(ValueError, match=f"a mirror of S3; give {RUNS}$"):
        place(str(place(RUNS)))


@pytest.mark.parametrize("text", ["s3://", "s3:///runs", "s3://key:secret@bucket/x", "s3://b/../c"])
def test_another_address_is_refused(machine: Machine, text: str) -> None:
    with pytest.raises(ValueError, match=r"expected s3://BUCKET/PREFIX"):
        place(text)


def test_what_is_written_is_in_s3_and_on_another_machine(client: Any, machine: Machine) -> None:
    table = pa.table({"r": [0.5, 0.25]})
    write_parquet(place(RUNS) / "scores" / "a.parquet", table)
    write_text(place(RUNS) / "note.json", "{}")
    assert keys(client) == ["lab/runs/note.json", "lab/runs/scores/a.parquet"]
    machine("second")
    pull(place(RUNS))
    assert read_parquet(place(RUNS) / "scores" / "a.parquet").equals(table)


def test_a_write_that_fails_leaves_nothing_in_s3(client: Any, machine: Machine) -> None:
    def break_off() -> None:
        with atomic_write(place(RUNS) / "note.json") as beside:
            beside.write_text("half of")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        break_off()
    assert keys(client) == []
    assert [path for path in place(RUNS).rglob("*") if path.is_file()] == []


def test_only_other_versions_are_copied(
    client: Any, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        write_text(place(RUNS) / name, "first")
    machine("second")
    pull(place(RUNS))
    machine("first")
    write_text(place(RUNS) / "a", "second version")
    machine("second")
    copied: list[str] = []
    get = client.get_object
    monkeypatch.setattr(client, "get_object", lambda **at: (copied.append(at["Key"]), get(**at))[1])
    pull(place(RUNS))
    pull(place(RUNS))
    assert copied == ["lab/runs/a"]
    assert (place(RUNS) / "a").read_text() == "second version"


def test_a_prefix_is_no_directory_of_a_longer_name(client: Any, machine: Machine) -> None:
    write_text(place(f"{RUNS}-old") / "a", "other")
    pull(place(RUNS))
    assert not place(RUNS).exists()
    remove(place(RUNS))
    assert keys(client) == ["lab/runs-old/a"]


def test_large_files_wait_until_they_are_asked_for(machine: Machine) -> None:
    large = ("checkpoints/t/e.safetensors", "predictions/t/ROI.parquet", "d/rows-000.parquet")
    for name in (*large, "trials/t.json"):
        write_text(place(RUNS) / name, "content")
    machine("second")
    assert data_directory(RUNS).path == place(RUNS)
    found = [path for path in place(RUNS).rglob("*") if path.is_file()]
    assert found == [place(RUNS) / "trials" / "t.json"]
    pull(place(RUNS) / "checkpoints" / "t")
    assert (place(RUNS) / large[0]).read_text() == "content"
    assert sum(map(is_large, [place(RUNS) / name for name in large])) == 3


def test_removing_is_removing_in_s3(client: Any, machine: Machine) -> None:
    write_text(place(RUNS) / "checkpoints" / "t" / "last.json", "{}")
    write_text(place(RUNS) / "checkpoints" / "u" / "last.json", "{}")
    StoredDirectory(place(RUNS) / "checkpoints" / "t").remove()
    assert keys(client) == ["lab/runs/checkpoints/u/last.json"]


def test_an_ingested_subject_is_read_from_s3_and_its_manifest_comes_last(
    client: Any, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataDirectory(place(f"s3://{BUCKET}/data"))
    uploaded: list[str] = []
    put = client.upload_file
    monkeypatch.setattr(
        client, "upload_file", lambda *at, **options: (uploaded.append(at[2]), put(*at, **options))
    )
    rois = write_shards(data.path)
    for shard in {data.shard(roi.shard) for roi in rois}:
        upload_directory(shard, shard, last="manifest.json")
        assert uploaded[-1].endswith("/manifest.json")
    machine("second")
    elsewhere = data_directory(f"s3://{BUCKET}/data")
    assert elsewhere != data
    assert list_rois(elsewhere) == list(rois)
    mine, theirs = (
        pa.concat_tables(read_rows(home.shard(rois[0].shard), ("index", "lh")))
        for home in (elsewhere, data)
    )
    assert mine.equals(theirs)
    assert mine.num_rows == len(np.unique(mine["index"]))


def test_one_holds_a_directory_in_s3_whatever_the_machine(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    with acquire(RunDirectory(place(RUNS)), "sweep paper"):
        machine("second")
        with pytest.raises(InputError, match=f"in use by sweep paper, process {os.getpid()}"):
            acquire(RunDirectory(place(RUNS)), "sweep demo").__enter__()
        machine("first")
    machine("second")
    with acquire(RunDirectory(place(RUNS)), "sweep demo"):
        owner = owner_of(RunDirectory(place(RUNS)))
        assert owner is not None
        assert owner.command == "sweep demo"
    assert sweep(["cancel", "--out", RUNS]) == 2
    assert "nothing is running here" in capsys.readouterr().err


def test_of_many_exactly_one_holds_a_directory_in_s3(machine: Machine) -> None:
    held: list[int] = []
    refused: list[int] = []
    begin, leave = threading.Barrier(6), threading.Event()

    def contend(number: int) -> None:
        begin.wait()
        try:
            with acquire(RunDirectory(place(RUNS)), f"sweep {number}"):
                held.append(number)
                leave.wait(60)
        except InputError:
            refused.append(number)
            if len(refused) == 5:
                leave.set()

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert (len(held), len(refused)) == (1, 5)


def test_pruning_leaves_what_a_living_command_is_about_to_copy(machine: Machine) -> None:
    write_text(place(RUNS) / "kept.json", "{}")
    kept, gone = leftovers("kept.json")
    for name in (*kept, *gone):
        (place(RUNS) / name).write_text("half")
    pull(place(RUNS), prune=place(RUNS).rglob("*"))
    assert sorted(path.name for path in place(RUNS).iterdir()) == sorted([*kept, "kept.json"])


def test_what_a_killed_command_left_in_any_mirror_is_removed_by_the_next(machine: Machine) -> None:
    kept, gone = leftovers("rows-000.parquet")
    shard = place(f"s3://{BUCKET}/data") / "nsd-subj01"
    shard.mkdir(parents=True)
    for name in (*kept, *gone):
        (shard / name).write_text("half")
    with acquire(RunDirectory(place(RUNS)), "sweep demo"):
        assert sorted(path.name for path in shard.iterdir()) == sorted(kept)


def test_a_name_that_leaves_its_directory_is_refused(client: Any, machine: Machine) -> None:
    for key in ("lab/runs/../../../../escaped", "lab/runs/scores/../../../x"):
        client.put_object(Bucket=BUCKET, Key=key, Body=b"hostile")
        with pytest.raises(OSError, match=r"leaves its directory; remove that object"):
            pull(place(RUNS))
        client.delete_object(Bucket=BUCKET, Key=key)
    assert not place(RUNS).exists()


def test_what_was_removed_in_s3_is_not_taken_for_done(client: Any, machine: Machine) -> None:
    write_text(place(RUNS) / "scores" / "t" / "a.parquet", "x")
    client.delete_object(Bucket=BUCKET, Key="lab/runs/scores/t/a.parquet")
    with acquire(RunDirectory(place(RUNS)), "sweep paper"):
        assert not (place(RUNS) / "scores" / "t" / "a.parquet").exists()


def test_a_bucket_that_is_not_there_is_reported(machine: Machine) -> None:
    with pytest.raises(InputError, match=r"s3://none/runs: .*check that the bucket"):
        data_directory("s3://none/runs")
