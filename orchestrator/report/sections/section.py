"""What a section of the report is made of."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import pandas as pd
import pyarrow as pa

from orchestrator.scores.rows import GROUPS, method_order

WIDE: Final = 9.0
"""Inches from which on a figure leaves the column of text."""
POINTS: Final = 72
"""Per inch."""


@dataclass(frozen=True)
class Picture:
    """A figure that is drawn once: an SVG, or another image as a data URI."""

    source: str
    """``<svg …>`` or ``data:image/png;base64,…``."""
    alt: str
    """Text for readers who cannot see it: what is shown, and its main numbers."""
    caption: str
    """Units, n, and what intervals mean."""

    @property
    def is_wide(self) -> bool:
        """Whether it is an SVG of more than WIDE, which has the whole width of the page."""
        width = re.match(r'<svg [^>]*?\bwidth="([\d.]+)pt"', self.source)
        return width is not None and float(width[1]) > POINTS * WIDE


@dataclass(frozen=True)
class Interactive:
    """An interactive figure: a complete HTML page, shown in a frame."""

    is_wide: ClassVar[bool] = False

    page: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Column:
    """How a column of a section's table is shown."""

    name: str
    label: str
    kind: Literal["text", "r", "difference", "share", "count", "number"] = "text"
    """r: three decimals; difference: with its sign; share: in per cent; count: with separators."""


@dataclass(frozen=True)
class Section:
    """One analysis as the report shows it."""

    name: str
    """The analysis' name: the anchor, and the command that makes it again."""
    title: str
    reading: tuple[str, ...]
    """What the numbers say: sentences generated from them, each of one method and ROI group."""
    figures: tuple[Picture | Interactive, ...]
    table: pd.DataFrame
    """The analysis' rows; filters use the columns subject, hemisphere and roi where present."""
    columns: tuple[Column, ...]
    """The columns that are shown, in order; a CSV has all of them."""
    notes: tuple[str, ...] = ()
    """Limits of the interpretation: protocols that leak, ROIs that are missing."""


def is_total(row: str) -> bool:
    """Return whether a row of groups is the total of a data set, which mixes groups."""
    return row.split()[-1] == "all"


def of_each(rows: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Split rows by method and other keys, so that no number mixes two of them.

    keys: columns; a first one "method" is put in the order of all tables. Yields
    ``contrastive, early`` and the rows, without those in which a key is missing; a data set is
    named where there are several.
    """
    known = rows.dropna(subset=list(keys))
    shown = [key for key in keys if key != "dataset" or known[key].nunique() > 1]
    groups = known.groupby(list(keys), sort=False)
    parts = {tuple(map(str, values)): part for values, part in groups}
    methods = method_order(known["method"].unique()) if "method" in keys else []
    rank = {name: place for place, name in enumerate((*methods, *GROUPS))}

    def order(values: tuple[str, ...]) -> list[tuple[int, str]]:
        return [(rank.get(value, len(rank)), value) for value in values]

    for values in sorted(parts, key=order):
        label = ", ".join(value for key, value in zip(keys, values, strict=True) if key in shown)
        yield label, parts[values]


Draw = Callable[[pa.Table], Section]
"""Makes a section of an analysis' table."""
