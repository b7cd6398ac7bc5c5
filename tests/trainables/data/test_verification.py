"""Files of another ingest, damaged files and wrong rows are refused by name, never used."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from benchmarks.small_shards import write_shards
from tests.builders.edited_shards import (
    cut,
    emptied,
    given_a_column,
    grouped_otherwise,
    linked_in_a_circle,
    of_other_ingest,
    removed,
    replaced_by_a_directory,
    replaced_by_a_pipe,
    rows_of,
    trust_files,
)
from trainables.data import verification
from trainables.data.data_directory import DataDirectory, vertices_file
from trainables.data.disk_images import DiskImages
from trainables.data.loading import RowGroup, read_images, read_subject
from trainables.data.rows import read_rows
from trainables.data.shards import list_rois, read_vertices
from trainables.data.stimuli import Stimuli
from trainables.data.verification import FileState, RowCheck, verified_row_files, verify
from trainables.exceptions import Denied
from trainables.storage.atomic import hash_file

N_IMAGES = 70
"""Two row groups."""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("verification")
    write_shards(home / "data", n_images=N_IMAGES)
    write_shards(home / "other", n_images=N_IMAGES, seed=1)
    return home


@pytest.fixture
def shard(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine / "data" / "nsd-subj01", tmp_path / "nsd-subj01"))


@pytest.fixture(autouse=True)
def nothing_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_digests", {})


def changed(shard: Path, name: str, change: Callable[[list], list]) -> None:
    """Change the values of a column of the rows."""
    table = pq.read_table(rows_of(shard))
    field = table.schema.field(name)
    column = pa.array(change(table[name].to_pylist()), field.type)
    table = table.set_column(table.schema.get_field_index(name), field, column)
    pq.write_table(table, rows_of(shard), row_group_size=64)


CHANGES = [
    of_other_ingest,
    cut,
    emptied,
    removed,
    linked_in_a_circle,
    replaced_by_a_pipe,
    replaced_by_a_directory,
    grouped_otherwise,
    given_a_column,
]
READERS: dict[str, Callable[[Path, Path], object]] = {
    "responses": lambda shard, scratch: read_subject(shard),
    "images": lambda shard, scratch: read_images(shard, CPU),
    "streamed images": lambda shard, scratch: DiskImages(shard, scratch),
    "rows": lambda shard, scratch: list(read_rows(shard, ("index",))),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_is_not_the_manifests_is_refused_by_name(
    shard: Path, pristine: Path, tmp_path: Path, change: Callable, read: Callable
) -> None:
    read(shard, tmp_path)  # as it was
    change(shard, pristine)
    with pytest.raises(ValueError) as refused:
        read(shard, tmp_path)
    assert str(refused.value).startswith(f"{rows_of(shard)}: damaged or ")
    assert "ingest again" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("change", CHANGES)
def test_stimuli_are_verified_without_their_images(
    shard: Path, pristine: Path, change: Callable
) -> None:
    expected = Stimuli.read(shard)
    change(shard, pristine)
    if change in (grouped_otherwise, given_a_column):  # the same stimuli
        assert Stimuli.read(shard).names.tolist() == expected.names.tolist()
        return
    with pytest.raises(ValueError, match=r"nsd-subj01.*ingest again"):
        Stimuli.read(shard)


def test_vertices_of_another_ingest_are_refused(shard: Path, pristine: Path) -> None:
    roi = list_rois(DataDirectory(pristine / "data"))[0]
    assert len(read_vertices(shard, roi)) == roi.n_vertices
    table = pq.read_table(vertices_file(shard))
    shifted = pa.array([*table["rois"].to_pylist()[1:], []], table["rois"].type)
    pq.write_table(table.set_column(4, table.schema.field("rois"), shifted), vertices_file(shard))
    with pytest.raises(ValueError, match=r"vertices\.parquet: damaged or of another ingest"):
        read_vertices(shard, roi)


def put(place: int, value: object) -> Callable[[list], list]:
    return lambda values: [*values[:place], value, *values[place + 1 :]]


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        ("index", put(7, 3), "expected each row once, found row 3 twice and row 7 missing"),
        ("index", put(7, -1), "expected rows 0 to 69, found -1"),
        ("index", put(7, 10**6), "expected rows 0 to 69, found 1000000"),
        ("split", put(0, "holdout"), "training and .* test images .*, found"),
        (
            "split",
            lambda sides: ["train" if sides[0] == "test" else "test", *sides[1:]],
            "training and .* test images .*, found",
        ),
        ("order", put(0, 10**6), "in an order"),
        ("order", lambda orders: [*orders[1:], orders[1]], "in an order"),
    ],
)
def test_wrong_rows_of_an_agreeing_manifest_are_refused(
    shard: Path, column: str, change: Callable, message: str
) -> None:
    changed(shard, column, change)
    trust_files(shard)
    with pytest.raises(ValueError, match=rf"nsd-subj01: .*{message}.*ingest again"):
        read_subject(shard)


@pytest.mark.parametrize("read", [READERS["images"], READERS["streamed images"]])
def test_an_image_that_is_there_twice_is_refused(
    shard: Path, tmp_path: Path, read: Callable
) -> None:
    changed(shard, "index", put(7, 3))
    trust_files(shard)
    with pytest.raises(ValueError, match="found row 3 twice and row 7 missing"):
        read(shard, tmp_path)


def test_rows_that_are_missing_are_counted(shard: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(rows_of(shard)).slice(0, N_IMAGES - 1), rows_of(shard))
    trust_files(shard)
    for read in (READERS["responses"], READERS["images"], READERS["streamed images"]):
        with pytest.raises(ValueError, match="expected 70 rows, as in its manifest, found 69"):
            read(shard, tmp_path)
    with pytest.raises(ValueError, match="expected 70 rows, as in its manifest, found 69"):
        Stimuli.read(shard)


def without(column: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.drop_columns([column])


def narrower(table: pa.Table) -> pa.Table:
    images = pa.array([image[:-1] for image in table["image"].to_pylist()])
    return table.set_column(table.schema.get_field_index("image"), "image", images)


@pytest.mark.parametrize(
    ("reader", "change"),
    [
        ("responses", without("lh")),
        ("responses", without("index")),
        ("images", without("image")),
        ("images", narrower),
    ],
)
def test_columns_of_another_form_are_refused(
    shard: Path, tmp_path: Path, reader: str, change: Callable[[pa.Table], pa.Table]
) -> None:
    pq.write_table(change(pq.read_table(rows_of(shard))), rows_of(shard))
    trust_files(shard)
    with pytest.raises(ValueError, match=r"rows-00000\.parquet: expected columns .*ingest again"):
        READERS[reader](shard, tmp_path)


def test_row_numbers_are_counted_in_any_order(tmp_path: Path) -> None:
    check = RowCheck(tmp_path, 5)
    for rows in ([4, 0], [2], [], [1, 3]):
        check.add(np.array(rows, np.int32))
    check.finish()


def test_strangers_in_a_shard_are_named_once_and_not_read(
    shard: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = read_subject(shard)
    for name in ("rows-00000 (1).parquet", "rows-00001.parquet", ".DS_Store", "._rows-0.parquet"):
        shutil.copy(rows_of(shard), shard / name)
    for _ in range(2):
        found = read_subject(shard)
        np.testing.assert_array_equal(found.responses["lh"], expected.responses["lh"])
    [record] = caplog.records
    assert "2 files that its manifest does not list are not read" in record.message


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    digest = verification.hashlib.file_digest

    def count(stream: object, kind: str) -> object:
        names.append(kind)
        return digest(stream, kind)

    monkeypatch.setattr(verification.hashlib, "file_digest", count)
    return names


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path, *_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(Denied, match="this user may not read it"):
        verify(rows_of(shard), "0" * 64)


def test_a_file_is_hashed_once_until_it_changes(shard: Path, hashed: list[str]) -> None:
    for _ in range(3):
        read_subject(shard)
        read_images(shard, CPU)
    assert len(hashed) == 1
    content = rows_of(shard).read_bytes()
    rows_of(shard).write_bytes(content)  # the same size and inode, another time
    os.utime(rows_of(shard), ns=(1, 1))
    read_subject(shard)
    assert len(hashed) == 2
    status = rows_of(shard).stat()
    rows_of(shard).unlink()
    rows_of(shard).write_bytes(bytes([content[0] ^ 1]) + content[1:])
    os.utime(rows_of(shard), ns=(status.st_mtime_ns, status.st_mtime_ns))
    with pytest.raises(ValueError, match="damaged or of another ingest"):
        read_subject(shard)


def test_what_another_process_verified_is_hashed_only_where_it_differs(
    shard: Path, hashed: list[str]
) -> None:
    [(path, state)] = verified_row_files(shard).items()
    sha256 = hash_file(path)
    del hashed[:]
    verification._digests.clear()  # as in another process
    assert verify(path, sha256, state) == state
    RowGroup(*state, sha256, 0).read(("index",))
    assert hashed == []
    elsewhere = state._replace(inode=state.inode + 1)  # a copy, on another node
    RowGroup(*elsewhere, sha256, 0).read(("index",))
    assert len(hashed) == 1
    with pytest.raises(ValueError, match="damaged or of another ingest"):
        verify(path, "0" * 64, FileState(str(path), 0, 0, 0, 0))
