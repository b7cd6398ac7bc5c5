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
    """Text for readers who cannot see it: what is shown, and its main numbers."""
    caption: str
    """Units, n, and what intervals mean."""


@dataclass(frozen=True)
class Interactive:
    """An interactive figure: a complete HTML page, shown in a frame."""

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
    reading: str
    """What the numbers say, in one sentence generated from them."""
    figures: tuple[Picture | Interactive, ...]
    table: pd.DataFrame
    """The analysis' rows; filters use the columns subject, hemisphere and roi where present."""
    columns: tuple[Column, ...]
    """The columns that are shown, in order; a CSV has all of them."""
    notes: tuple[str, ...] = ()
    """Limits of the interpretation: protocols that leak, ROIs that are missing."""


Draw = Callable[[pa.Table], Section]
"""Makes a section of an analysis' table."""
