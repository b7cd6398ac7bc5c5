"""Files that passed a check are known until they change."""

import os
from pathlib import Path

import pytest

from trainables.storage import unchanged
from trainables.storage.unchanged import CheckedFiles, FileState, hash_unchanged


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("good")
    return tmp_path / "file"


def checked(path: Path) -> CheckedFiles:
    files = CheckedFiles()
    files.add(path, FileState.of(path))
    return files


def replace(path: Path) -> None:
    """Put another file of the same size and times in its place."""
    times, other = path.stat(), path.with_name("other")
    other.write_text("evil")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize(
    ("change", "is_known"),
    [
        (lambda path: None, True),
        (lambda path: path.write_text("evil"), False),
        (lambda path: os.utime(path), False),
        (replace, False),
        (lambda path: path.unlink(), False),
    ],
    ids=["unchanged", "written", "touched", "replaced", "removed"],
)
def test_a_file_is_known_until_it_changes(path: Path, monkeypatch, change, is_known) -> None:
    monkeypatch.setattr(unchanged, "SETTLED_SECONDS", -1.0)
    files = checked(path)
    assert path in files
    change(path)
    assert (path in files) is is_known


def test_a_file_that_has_just_changed_is_not_known(path: Path) -> None:
    assert path not in checked(path)


def test_a_file_that_is_missing_is_not_known(tmp_path: Path) -> None:
    assert tmp_path / "none" not in checked(tmp_path / "none")


def test_a_file_is_hashed_once_until_it_changes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, "SETTLED_SECONDS", -1.0)
    read: list[Path] = []
    hash_file = unchanged.hash_file
    monkeypatch.setattr(unchanged, "hash_file", lambda one: (read.append(one), hash_file(one))[1])
    hashes = []
    for change in (None, None, replace, lambda one: one.write_text("good")):
        if change is not None:
            change(path)
        hashes.append(hash_unchanged(path))
    assert hashes == [hash_file(path), hash_file(path), hashes[2], hash_file(path)]
    assert hashes[2] != hashes[0]
    assert read == [path] * 3


def test_a_file_that_has_just_changed_is_hashed_again(path: Path) -> None:
    before = hash_unchanged(path)
    replace(path)
    assert hash_unchanged(path) != before
