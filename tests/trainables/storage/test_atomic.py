"""Files are there whole or not at all, and tell when a bit of them has turned."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trainables.storage.atomic import atomic_write, read_parquet, write_parquet, write_text

TABLE = pa.table({"r": np.random.default_rng(0).normal(size=500), "roi": ["V1v", "hV4"] * 250})


def listed(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir())


def break_off(path: Path) -> None:
    with atomic_write(path) as beside:
        beside.write_text("half of")
        raise OSError(28, "No space left on device")


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    with pytest.raises(OSError, match="No space"):
        break_off(path)
    assert listed(tmp_path) == []
    write_text(path, "whole")
    with pytest.raises(OSError, match="No space"):
        break_off(path)
    assert listed(tmp_path) == ["note.json"]
    assert path.read_text() == "whole"


def test_a_table_comes_back_as_it_was(tmp_path: Path) -> None:
    write_parquet(tmp_path / "deep" / "t.parquet", TABLE)
    assert read_parquet(tmp_path / "deep" / "t.parquet").equals(TABLE)
    assert read_parquet(tmp_path / "deep" / "t.parquet", ["roi"]).column_names == ["roi"]


@example(place=0.98, bit=2)  # in a page's header, which no checksum covers
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_turned_bit_is_found_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    path = tmp_path_factory.mktemp("bits") / "t.parquet"
    write_parquet(path, TABLE)
    content = bytearray(path.read_bytes())
    footer = int.from_bytes(content[-8:-4], "little") + 8
    content[4 + int(place * (len(content) - footer - 4))] ^= 1 << bit
    path.write_bytes(content)
    try:
        found = read_parquet(path)
    except (OSError, pa.ArrowException):
        return
    assert found.equals(TABLE)
