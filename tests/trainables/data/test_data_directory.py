"""The paths of ingested data are spelled in one module, which lists subjects and tasks."""

import ast
import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.small_shards import write_shards
from tests.builders.spelled_paths import HOME, PRODUCT, other_spellers, spelled
from trainables.data import data_directory
from trainables.data.data_directory import (
    DataDirectory,
    listed_files,
    manifest_file,
    row_file,
    row_files,
)
from trainables.data.shards import describe_copies, list_rois

NAMES = {"tasks", "manifest.json", "vertices.parquet", "rows-", "trials-", "images-"}
SPELLER = HOME / "trainables" / "data" / "data_directory.py"


def test_only_the_data_directory_spells_its_paths() -> None:
    assert spelled(SPELLER, NAMES) == NAMES
    assert other_spellers(SPELLER, NAMES) == {}


def test_its_constants_are_used_nowhere_else() -> None:
    constants = {"MANIFEST", "VERTICES"}
    assert constants <= set(vars(data_directory))
    users = {
        path
        for path in PRODUCT
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == data_directory.__name__
        if constants & {one.name for one in node.names}
    }
    assert users == set()


def test_no_signature_takes_the_directory_as_a_path() -> None:
    wrong = []
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
                name = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
                if name == "data" and "Path" in ast.unparse(node.annotation):
                    wrong.append(f"{path.relative_to(HOME)}:{node.lineno}")
    assert wrong == []


def test_only_complete_subjects_and_tasks_are_listed(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    made = [data.shard("b"), data.shard("a"), data.task("two"), data.task("one")]
    hidden = [data.shard(".b.partial-17"), data.task(".two.partial-17")]
    for directory in (*made, *hidden):
        directory.mkdir(parents=True)
        manifest_file(directory).write_text("{}")
    data.shard("no-manifest").mkdir()
    assert data.shards() == [data.shard("a"), data.shard("b")]
    assert data.tasks() == [data.task("one"), data.task("two")]
    assert DataDirectory(tmp_path / "absent").shards() == []


def test_row_files_are_those_of_the_manifest_in_order(tmp_path: Path) -> None:
    names = [row_file(tmp_path, number).name for number in (2, 0, 1, 10)]
    files = dict.fromkeys((*names, "vertices.parquet", "../rows-00003.parquet"), "0")
    manifest_file(tmp_path).write_text(json.dumps({"files": files}))
    row_file(tmp_path, 5).touch()
    assert row_files(tmp_path) == [row_file(tmp_path, number) for number in (0, 1, 2, 10)]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"files": 3}', '{"files": {"rows-0": 1}}'])
def test_a_manifest_that_lists_nothing_usable_is_refused_or_empty(
    tmp_path: Path, content: str
) -> None:
    manifest_file(tmp_path).write_text(content)
    with suppress(ValueError):
        assert all(isinstance(sha256, str) for sha256 in listed_files(tmp_path).values())


def test_copies_of_subjects_and_tasks_are_not_listed(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    rois = write_shards(tmp_path, ("subj01", "subj02"))
    before = (data.shards(), data.fingerprint())
    shutil.copytree(data.shard("nsd-subj01"), data.shard("nsd-subj01 copy"))
    shutil.copytree(data.shard("nsd-subj02"), data.shard("nsd-subj02.bak"))
    for name in ("faces", "faces (1)"):
        data.task(name).mkdir(parents=True)
        manifest_file(data.task(name)).write_text('{"name": "faces"}')
    assert (data.shards(), data.fingerprint()) == before
    assert data.tasks() == [data.task("faces")]
    assert list_rois(data) == rois


def test_copies_are_named_in_one_line(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    write_shards(tmp_path)
    assert describe_copies(data) == ()
    for number in range(5):
        shutil.copytree(data.shard("nsd-subj01"), data.shard(f"nsd-subj01 ({number})"))
    [line] = describe_copies(data)
    assert "nsd-subj01 (2) and 2 more" in line
    assert "nsd-subj01 (3)" not in line


def test_a_renamed_subject_is_refused_by_name(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    write_shards(tmp_path, ("subj01", "subj02"))
    data.shard("nsd-subj02").rename(data.shard("nsd-second"))
    with pytest.raises(ValueError, match="nsd-second: expected a directory named nsd-subj02"):
        list_rois(data)


def test_the_fingerprint_is_of_every_manifest(tmp_path: Path) -> None:
    write_shards(tmp_path / "one")
    write_shards(tmp_path / "same")
    write_shards(tmp_path / "two", ("subj01", "subj02"))
    write_shards(tmp_path / "other", seed=1)
    names = ("one", "same", "two", "other")
    found = [DataDirectory(tmp_path / name).fingerprint() for name in names]
    assert found[0] == found[1]
    assert len(set(found)) == 3
