"""Rows in CSV files: no text is a formula to a spreadsheet, and numbers stay numbers."""

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.scores.export import write_rows
from trainables.spec import is_name

SIGNS = ("=", "+", "-", "@", "\t", "\r")


def test_a_text_that_looks_like_a_formula_begins_with_an_apostrophe(tmp_path) -> None:
    texts = [*(f"{sign}1+2" for sign in SIGNS), "V1v", "a=b", "", None]
    lists = [["=1", "x"], *([["V1v"]] * (len(texts) - 1))]
    numbers = [-0.5] * len(texts)
    rows = pa.table(
        {
            "text": texts,
            "encoded": pa.array(texts).dictionary_encode(),
            "list": lists,
            "r": numbers,
        }
    )
    write_rows(rows, tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as stream:
        read = list(csv.DictReader(stream))
    expected = [*(f"'{sign}1+2" for sign in SIGNS), "V1v", "a=b", "", ""]
    assert [row["text"] for row in read] == expected
    assert [row["encoded"] for row in read] == expected
    assert [row["list"] for row in read] == ["'=1;x", *(["V1v"] * (len(texts) - 1))]
    assert {row["r"] for row in read} == {"-0.5"}
    write_rows(rows, tmp_path / "rows.parquet")
    assert pq.read_table(tmp_path / "rows.parquet")["text"].to_pylist() == texts


@pytest.mark.parametrize("sign", SIGNS)
def test_no_name_begins_like_a_formula(sign) -> None:
    assert not is_name(f"{sign}V1v")
    assert is_name("V1v")
