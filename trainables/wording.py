"""Phrases of messages: a few examples of many names, and the name that was probably meant."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

EXAMPLES: Final = 3
"""Examples that a message names where more files, trials or ROIs have the same problem."""
CUTOFF: Final = 0.6
"""The least similarity of a name that was meant, from 0 to 1."""


def and_more(n_all: int) -> str:
    """Count what is left out after the examples; empty where nothing is.

    >>> and_more(3), and_more(5)
    ('', ' and 2 more (5 in all)')
    """
    n_more = n_all - EXAMPLES
    return f" and {n_more:,} more ({n_all:,} in all)" if n_more > 0 else ""


def some(names: Sequence[object], separator: str = ", ") -> str:
    """Name the first few of many, and count the others.

    >>> some("abcde")
    'a, b, c and 2 more (5 in all)'
    """
    return separator.join(map(str, names[:EXAMPLES])) + and_more(len(names))


def similar(word: str, choices: Iterable[str], cutoff: float = CUTOFF) -> str | None:
    """Find the choice that is most like a word, whatever its case; None where none is like it."""
    by_lower = {choice.lower(): choice for choice in choices}
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def any_meant(word: str, choices: Iterable[str], cutoff: float = CUTOFF) -> str:
    """Name the few choices that are most like a word, the likeliest first; empty where none is.

    >>> any_meant("layer", ["layer1", "layer2", "conv"])
    "did you mean 'layer2' or 'layer1'?"
    """
    found = get_close_matches(word, list(choices), n=EXAMPLES, cutoff=cutoff)
    *first, last = [repr(one) for one in found] or [""]
    names = f"{', '.join(first)} or {last}" if first else last
    return f"did you mean {names}?" if found else ""


def meant(word: str, choices: Iterable[str], cutoff: float = CUTOFF) -> str:
    """Ask for the choice that was probably meant, at the end of a message; empty where none is.

    >>> meant("v1V", ["V1v", "EBA"])
    "; did you mean 'V1v'?"
    """
    found = similar(word, choices, cutoff)
    return "" if found is None else f"; did you mean {found!r}?"
