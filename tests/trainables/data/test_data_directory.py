"""The paths of ingested data are spelled in one module, which lists subjects and tasks."""

import ast
from pathlib import Path

from benchmarks.small_shards import write_shards
from tests.builders.spelled_paths import HOME, PRODUCT, other_spellers, spelled
from trainables.data import data_directory
from trainables.data.data_directory import DataDirectory, manifest_file, row_file, row_files

NAMES = {"tasks", "manifest.json", "vertices.parquet", "rows-"}
SPELLER = HOME / "trainables" / "data" / "data_directory.py"


def test_only_the_data_directory_spells_its_paths() -> None:
    assert spelled(SPELLER, NAMES) == NAMES
    assert other_spellers(SPELLER, NAMES) == {}


def test_its_constants_are_used_nowhere_else() -> None:
    constants = {name for name in vars(data_directory) if name.isupper()}
    assert constants == {"MANIFEST", "VERTICES"}
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


def test_row_files_are_in_order(tmp_path: Path) -> None:
    for number in (2, 0, 1, 10):
        row_file(tmp_path, number).touch()
    assert row_files(tmp_path) == [row_file(tmp_path, number) for number in (0, 1, 2, 10)]


def test_the_fingerprint_is_of_every_manifest(tmp_path: Path) -> None:
    write_shards(tmp_path / "one")
    write_shards(tmp_path / "same")
    write_shards(tmp_path / "two", ("subj01", "subj02"))
    write_shards(tmp_path / "other", seed=1)
    names = ("one", "same", "two", "other")
    found = [DataDirectory(tmp_path / name).fingerprint() for name in names]
    assert found[0] == found[1]
    assert len(set(found)) == 3
