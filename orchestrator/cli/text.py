"""Format numbers, durations and tables for the terminal."""

from typing import Final

from rich import box
from rich.table import Table

CENTURY: Final = 100 * 365.25 * 86400
GIB: Final = 2**30
TIB: Final = 2**40


def n_bytes(number: float) -> str:
    """Format a number of bytes: ``0.1 GiB``, ``12.5 GiB``, ``3.0 TiB``, ``over 1,000 TiB``."""
    if number < TIB:
        return f"{number / GIB:.1f} GiB"
    return f"{number / TIB:.1f} TiB" if number <= 1000 * TIB else "over 1,000 TiB"


def duration(seconds: float) -> str:
    """Format a duration: ``45 s``, ``12 min``, ``3.5 h``, ``over 100 years``."""
    if seconds > CENTURY:
        return "over 100 years"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


NONE = "–"


def new_table(title: str, caption: str) -> Table:
    """Make an empty table with a title and a caption beneath it."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption=caption,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
    )


def count(number: int, noun: str) -> str:
    """Format a count with its noun: ``1 subject``, ``2 subjects``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def as_r(value: float | None) -> str:
    """Format a correlation to three decimals."""
    return NONE if value is None else f"{value:.3f}"


def as_mean(value: float | None, seed_sd: float | None) -> str:
    """Format a mean r, with its standard deviation over seeds if there are several."""
    return as_r(value) if seed_sd is None else f"{as_r(value)} ± {seed_sd:.3f}"


def as_difference(value: float | None) -> str:
    """Format a difference of correlations to three decimals, with its sign."""
    return NONE if value is None else f"{value:+.3f}"


def as_percent(share: float | None) -> str:
    """Format a share in per cent."""
    return NONE if share is None else f"{share:.1%}"


def as_points(difference: float | None) -> str:
    """Format a difference of shares in percentage points, with its sign."""
    return NONE if difference is None else f"{100 * difference:+.1f}"


def as_p(p: float | None) -> str:
    """Format a p-value to three decimals, or as ``<.001``; never as 0."""
    if p is None:
        return NONE
    return f"{p:.3f}" if p >= 0.001 else "<.001"
