"""Text tables are read as Excel and Windows write them, or refused by name."""

import os

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.tables import read_number, read_rows, read_text

TABLE = "onset\tduration\tstim_file\n0.5\t1\tn01/n01_1.JPEG\n4.5\t1\tn01/n01_2.JPEG\n"
ROWS = [
    {"onset": "0.5", "duration": "1", "stim_file": "n01/n01_1.JPEG"},
    {"onset": "4.5", "duration": "1", "stim_file": "n01/n01_2.JPEG"},
]
READ = {
    "as BIDS has it": TABLE.encode(),
    "a byte order mark": TABLE.encode("utf-8-sig"),
    "UTF-16, little endian": b"\xff\xfe" + TABLE.encode("utf-16-le"),
    "UTF-16, big endian": b"\xfe\xff" + TABLE.encode("utf-16-be"),
    "UTF-32": TABLE.encode("utf-32"),
    "Windows' line ends": TABLE.replace("\n", "\r\n").encode(),
    "line ends of old Macs": TABLE.replace("\n", "\r").encode(),
    "semicolons": TABLE.replace("\t", ";").encode("utf-8-sig"),
    "commas": TABLE.replace("\t", ",").encode(),
    "quotes": TABLE.replace("n01/n01_1.JPEG", '"n01/n01_1.JPEG"').encode(),
    "blanks and empty lines": TABLE.replace("\t", " \t ").replace("\n", "\n\n").encode(),
    "a separator at the end of lines": TABLE.replace("JPEG", "JPEG\t\t").encode(),
    "no last line end": TABLE.rstrip().encode(),
}


@pytest.mark.parametrize("case", READ)
def test_a_table_is_read_in_every_form(case, tmp_path) -> None:
    path = tmp_path / "events.tsv"
    path.write_bytes(READ[case])
    assert read_rows(path, "events", ("onset", "stim_file")) == ROWS


REFUSED = {
    "UTF-16 without a mark": (TABLE.encode("utf-16-le"), "expected events as text, found other"),
    "Latin-1": (TABLE.replace("n01/", "é").encode("latin-1"), "save it as UTF-8"),
    "a zip of Excel": (b"PK\x03\x04\x14\x00\x06\x00", "expected events as text, found other"),
    "no such column": (TABLE.replace("onset", "time").encode(), "found time, duration, stim_file"),
    "a column twice": (TABLE.replace("duration", "onset").encode(), "with the columns onset and"),
    "a value more": (TABLE.replace("4.5\t", "4.5\t\t").encode(), "line 3 has 4 values, expected 3"),
    "a value less": (TABLE.replace("4.5\t", "").encode(), "line 3 has 2 values, expected 3"),
    "nothing": (b"", "events missing: an empty file"),
    "blank lines": (b"\n \r\n", "with the columns onset and stim_file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_table_is_refused_by_name(case, tmp_path) -> None:
    content, text = REFUSED[case]
    path = tmp_path / "events.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_rows(path, "events", ("onset", "stim_file"))
    assert str(refused.value).startswith(f"{path}: ")
    assert text in str(refused.value)


@pytest.mark.timeout(5)
def test_a_named_pipe_is_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "events.tsv")
    with pytest.raises(InputError, match="a named pipe, not a file"):
        read_text(tmp_path / "events.tsv", "events")


@pytest.mark.parametrize(
    ("text", "number"), [("4.5", 4.5), ("4,5", 4.5), ("-1e3", -1000), ("7", 7)]
)
def test_numbers_have_a_point_or_a_comma(text, number, tmp_path) -> None:
    assert read_number(tmp_path, text) == number


@pytest.mark.parametrize("text", ["n/a", "nan", "inf", "", "04. Okt", "1,000,000", "1.2,3"])
def test_other_numbers_are_refused(text, tmp_path) -> None:
    with pytest.raises(InputError, match="expected a number, found"):
        read_number(tmp_path, text)
