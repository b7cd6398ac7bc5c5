"""What a fetch, a removal and a sweep of one directory in S3 leave alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.arguments import data_directory
from tests.builders.leftovers import leftovers
from tests.builders.s3_server import BUCKET, keys, s3
from trainables.results.run_directory import RunDirectory
from trainables.storage.atomic import append_line, write_text
from trainables.storage.s3_mirror import place, remove
from trainables.storage.stored_directory import StoredDirectory

RUNS = f"s3://{BUCKET}/lab/runs"
Machine = Callable[[str], None]


@pytest.fixture
def client() -> Iterator[Any]:
    with s3() as found:
        yield found


@pytest.fixture
def machine(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Go to a machine by its name: each has a cache of its own."""

    def go(name: str) -> None:
        monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / name))

    go("first")
    return go


def test_a_command_on_a_local_directory_leaves_the_mirrors_alone(
    machine: Machine, tmp_path: Path
) -> None:
    _, [gone, *_] = leftovers("rows-000.parquet")
    for home in (place(RUNS), tmp_path / "local"):
        home.mkdir(parents=True)
        (home / gone).write_text("half")
    assert StoredDirectory(tmp_path / "local").sweep() == [tmp_path / "local" / gone]
    assert StoredDirectory(place(f"s3://{BUCKET}/other")).sweep() == [place(RUNS) / gone]


def test_lines_of_a_log_that_are_not_in_s3_yet_stay(machine: Machine) -> None:
    """Any command fetches; the next line uploads the whole log."""
    runs = RunDirectory(place(RUNS))
    log = runs.log_file("trial-01234567")
    append_line(log, "started", to_s3=True)
    append_line(log, "epoch 1", to_s3=False)
    for fetch in (runs.fetch, lambda: runs.fetched(log)):
        fetch()
        assert log.read_text() == "started\nepoch 1\n"
    machine("second")
    other = RunDirectory(place(RUNS)).log_file(log.stem)
    RunDirectory(place(RUNS)).fetch()
    append_line(other, "again", to_s3=True)
    machine("first")
    runs.fetch()  # S3 has another machine's line: no longer the same log
    assert log.read_text() == other.read_text() == "started\nagain\n"


def test_an_operation_on_one_directory_does_not_look_into_its_siblings(
    client: Any, machine: Machine
) -> None:
    client.put_object(Bucket=BUCKET, Key="lab/runs-2026/../../x", Body=b"hostile")
    write_text(place(RUNS) / "note.json", "{}")
    machine("second")
    assert data_directory(RUNS).has(place(RUNS) / "note.json")
    assert (place(RUNS) / "note.json").exists()
    remove(place(RUNS))
    assert keys(client) == ["lab/runs-2026/../../x"]
