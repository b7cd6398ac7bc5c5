"""How numbers, durations and tables look on the terminal."""

from rich import box
from rich.table import Table


def duration(seconds: float) -> str:
    """Write a duration as people do: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


NONE = "–"


def new_table(title: str, caption: str) -> Table:
    """Make an empty table, with its caption beneath it."""
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
    """Write a number of things: ``1 subject``, ``2 subjects``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def as_r(value: float | None) -> str:
    """Write a correlation."""
    return NONE if value is None else f"{value:.3f}"


def as_difference(value: float) -> str:
    """Write a difference of correlations, with its sign."""
    return f"{value:+.3f}"


def as_percent(share: float | None) -> str:
    """Write a share in per cent."""
    return NONE if share is None else f"{share:.1%}"


def as_p(p: float | None) -> str:
    """Write a p-value to three decimals; a smaller one as such, never as 0."""
    if p is None:
        return NONE
    return f"{p:.3f}" if p >= 0.001 else "<.001"
