"""Read text tables as scanners' programs, Excel and Windows write them."""

import codecs
import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import require_file

_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
MAX_BYTES: Final = 64 << 20
"""A larger file is no table of a run."""


def read_text(path: Path, what: str) -> str:
    """Read a text file in UTF-8, or in UTF-16 or -32 with a byte order mark.

    Raises InputError when it is no such text.
    """
    require_file(path, what)
    if path.stat().st_size > MAX_BYTES:
        raise InputError(
            f"{path}: expected {what} as text, found {path.stat().st_size:,} bytes; download it "
            "again"
        )
    raw = path.read_bytes()
    encoding = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError(
            f"{path}: expected {what} as text, found other bytes; download it again, or save it "
            "as UTF-8"
        )
    return text


def read_rows(
    path: Path, what: str, columns: Sequence[str], *, comments: bool = False
) -> list[Mapping[str, str]]:
    """Read a table with a line of headings; its values are between tabs, semicolons or commas.

    columns: those that it must have. comments: leave lines out that begin with #. Raises InputError
    when it is no such table, or a row has another number of values.
    """
    lines = [line for line in re.split(r"\r\n|\r|\n", read_text(path, what)) if line.strip()]
    if comments:
        lines = [line for line in lines if not line.startswith("#")]
    separator = next((mark for mark in "\t;," if mark in "".join(lines[:1])), "\t")
    split = [[value.strip() for value in row] for row in _split(path, lines, separator)]
    heading, *rows = split or [[]]
    for row in rows:
        while len(row) > len(heading) and not row[-1]:  # a separator at the end of a line
            row.pop()
    missing = [name for name in columns if heading.count(name) != 1]
    if missing:
        raise InputError(
            f"{path}: expected {what} with the columns {' and '.join(columns)}, found "
            f"{', '.join(heading)[:80]}; download it again"
        )
    wrong = [number for number, row in enumerate(rows, start=2) if len(row) != len(heading)]
    if wrong:
        raise InputError(
            f"{path}: line {wrong[0]} has {len(rows[wrong[0] - 2])} values, expected "
            f"{len(heading)} as in the first line; download it again"
        )
    return [dict(zip(heading, row, strict=True)) for row in rows]


def _split(path: Path, lines: Sequence[str], separator: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(lines, delimiter=separator)
    except csv.Error as error:
        raise InputError(f"{path}: not a table ({error}); download it again") from error


def read_number(path: Path, text: str) -> float:
    """Read a finite number, with a decimal point or comma; raise InputError for another."""
    try:
        number = float(text.replace(",", ".") if re.fullmatch(r"-?\d+,\d+", text) else text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{path}: expected a number, found {text!r}; correct it")
    return number
