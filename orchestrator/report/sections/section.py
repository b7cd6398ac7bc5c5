"""What a section of the report is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import pyarrow as pa


@dataclass(frozen=True)
class Picture:
    """A figure that is drawn once: an SVG, or another image as a data URI."""

    source: str
    """``<svg …>`` or ``data:image/png;base64,…``."""
    alt: str
    """What a reader who can't see it is reported: what is shown, and its main numbers."""
    caption: str
    """Units, n, and what intervals mean."""


@dataclass(frozen=True)
class Interactive:
    """A figure that a reader can turn: a whole HTML page, shown in a frame of its own."""

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
    """One analysis as people see it."""

    name: str
    """The analysis' name: the anchor, and the command that makes it again."""
    title: str
    reading: str
    """What the numbers say, in one sentence generated from them."""
    figures: tuple[Picture | Interactive, ...]
    table: pd.DataFrame
    """The analysis' rows as shown; subject, hemisphere and roi are filtered by where present."""
    columns: tuple[Column, ...]
    """Which of the table's columns are shown, in their order; a CSV has all of them."""
    notes: tuple[str, ...] = ()
    """What limits the reading: protocols that leak, ROIs that are missing."""


Draw = Callable[[pa.Table], Section]
"""Makes a section of an analysis' table."""
