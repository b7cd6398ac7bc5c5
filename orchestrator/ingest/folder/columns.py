"""Read a table by columns, under the names that other projects use too."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.cli.text import count
from orchestrator.ingest.tables import read_rows
from trainables.wording import some

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "stimulus_id": ("image_id", "stimulus"),
    "filename": ("file", "image_filename", "stimulus_path"),
    "neuroid_id": ("voxel_id", "vertex_id"),
    "hemisphere": ("hemi",),
    "noise_ceiling": ("nc_testset",),
    "roi": ("region",),
}
"""Further names of a column, as in assemblies of brain-score and tables of THINGS."""

Columns = Mapping[str, Sequence[str]]


def read_columns(path: Path, what: str, required: Sequence[str]) -> Columns:
    """Read a table as {column: values}, in which aliases have the usual name.

    Lines that begin with # are comments. Raises InputError when it is no table, lacks a required
    column, or has a column under two names.
    """
    rows = read_rows(path, what, (), comments=True)
    if not rows:
        raise InputError(f"{path}: expected {what}, found no row; fill it in")
    names = usual_names(rows[0])
    twice = [name for name in names.values() if list(names.values()).count(name) > 1]
    if twice:
        both = [old for old, new in names.items() if new == twice[0]]
        raise InputError(f"{path}: {' and '.join(both)} are the same column; remove one")
    missing = [name for name in required if name not in names.values()]
    if missing:
        raise InputError(
            f"{path}: expected {what} with a column {' and '.join(missing)}, found "
            f"{some(list(names))}; add it, or rename a column"
        )
    return {new: [row[old] for row in rows] for old, new in names.items()}


def usual_names(there: Collection[str]) -> dict[str, str]:
    """Map names of columns to the usual names; an alias stays where a column has the usual name."""
    usual = {
        other: name for name, others in ALIASES.items() if name not in there for other in others
    }
    return {name: usual.get(name, name) for name in there}


def require_filled(path: Path, columns: Columns, names: Sequence[str]) -> None:
    """Raise InputError naming columns with empty values, and their first line."""
    lines = [
        f"{path}: {name} is empty in {count(len(empty), 'row')}, first in row {empty[0] + 1}; fill "
        "it in"
        for name in names
        if (empty := [row for row, value in enumerate(columns[name]) if not value])
    ]
    if lines:
        raise InputError(*lines)


def as_integers(path: Path, columns: Columns, name: str, low: int = 0) -> list[int]:
    """Parse a column of whole numbers; raise InputError naming the first that is none."""
    found = []
    for row, text in enumerate(columns[name]):
        number = text.removesuffix(".0")
        if not (number.isascii() and number.isdigit() and low <= int(number) < 2**31):
            raise InputError(
                f"{path}: {name} is {text!r} in row {row + 1}; expected a whole number of at "
                f"least {low}; correct it"
            )
        found.append(int(number))
    return found
