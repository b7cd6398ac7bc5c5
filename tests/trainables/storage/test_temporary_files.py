"""Temporary files: named by their owner, and removed only once nobody owns them."""

import os
from pathlib import Path

import pytest

from tests.builders.leftovers import leftovers, owned_by
from trainables.results.run_directory import RunDirectory
from trainables.storage import temporary_files
from trainables.storage.temporary_files import (
    ABANDONED_SECONDS,
    is_owned,
    is_temporary,
    remove_abandoned,
    temporary_name,
)

ELSEWHERE = "f" * 12 + "-12-345"


def names(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir())


def test_a_name_is_new_each_time_hidden_and_short_enough_for_a_file_system() -> None:
    made = [temporary_name(name) for name in ("a.json", "a.json", "x" * 255, "\U0001f9e0" * 63)]
    assert len(set(made)) == 4
    for name in made:
        assert name.startswith(".")
        assert len(os.fsencode(name)) <= 255
        assert is_temporary(Path(name))
        assert is_owned(Path(name))


@pytest.mark.parametrize("name", [".hidden", ".a.partial-12", "a.partial-x", ".DS_Store", ".a.12"])
def test_other_hidden_files_are_nobodys_business(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert not is_temporary(tmp_path / name)
    assert remove_abandoned(tmp_path) == []
    assert names(tmp_path) == [name]


def test_what_nobody_owns_is_removed_at_every_depth_and_nothing_else(tmp_path: Path) -> None:
    kept, gone = leftovers("a.json")
    for folder in ("", "trials", "checkpoints/t", "ray", "a/ray"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name in (*kept, *gone, "a.json"):
            (tmp_path / folder / name).write_text("half")
    removed = remove_abandoned(tmp_path, skip=("ray",))
    assert len(removed) == 4 * len(gone)
    for folder in ("trials", "checkpoints/t", "a/ray"):
        assert names(tmp_path / folder) == sorted([*kept, "a.json"])
    assert names(tmp_path / "ray") == sorted([*kept, *gone, "a.json"])


@pytest.mark.parametrize("skew", [0, 7200, -7200, 10**6])
def test_another_machines_file_is_judged_by_the_clock_of_its_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    """The file server's clock is wrong by some time; this machine's does not matter."""
    server = 1.7e9 + skew
    monkeypatch.setattr(temporary_files, "_file_system_time", lambda home: server)
    fresh, old = (tmp_path / owned_by(name, ELSEWHERE) for name in ("fresh", "old"))
    for path, age in ((fresh, ABANDONED_SECONDS - 60), (old, ABANDONED_SECONDS + 60)):
        path.touch()
        os.utime(path, (server - age, server - age))
    assert remove_abandoned(tmp_path) == [old]
    assert names(tmp_path) == [fresh.name]


def test_a_directory_is_as_young_as_its_youngest_file(tmp_path: Path) -> None:
    partial = tmp_path / owned_by("nsd-subj01", ELSEWHERE)
    partial.mkdir()
    (partial / "rows-000.parquet").touch()
    os.utime(partial, (0, 0))
    assert remove_abandoned(tmp_path) == []
    os.utime(partial / "rows-000.parquet", (0, 0))
    assert remove_abandoned(tmp_path) == [partial]
    assert names(tmp_path) == []


def test_an_abandoned_link_is_removed_and_what_it_points_to_is_kept(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a").touch()
    link = tmp_path / leftovers("nsd-subj01")[1][0]
    link.symlink_to(data)
    assert remove_abandoned(tmp_path) == [link]
    assert not link.is_symlink()
    assert names(tmp_path) == ["data"]
    assert names(data) == ["a"]


def test_what_cannot_be_removed_is_left(tmp_path: Path, monkeypatch) -> None:
    file, directory = (tmp_path / name for name in leftovers("a")[1][:2])
    file.touch()
    directory.mkdir()
    (directory / "rows").touch()

    def refuse(*path: object, **options: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "unlink", refuse)
    remove_abandoned(tmp_path)
    assert {file.name, directory.name} <= set(names(tmp_path))


def test_the_clock_of_a_file_system_is_read_and_leaves_nothing(tmp_path: Path) -> None:
    before = tmp_path / "a"
    before.touch()
    now = temporary_files._file_system_time(tmp_path)
    assert now is not None
    assert 0 <= now - before.stat().st_mtime < 60
    assert names(tmp_path) == ["a"]
    assert temporary_files._file_system_time(tmp_path / "none") is None


def test_a_run_directory_is_swept_but_for_what_others_own(tmp_path: Path) -> None:
    runs = RunDirectory(tmp_path)
    kept, gone = leftovers("t.json")
    for name in (*kept, *gone):
        path = runs.outcome_file("t").with_name(name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert len(runs.remove_abandoned()) == len(gone)
    assert names(tmp_path / "trials") == sorted(kept)
