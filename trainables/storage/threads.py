"""Reading many files in several threads: decoding them in C and waiting for a disk overlap."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

READERS: Final = 4
PART: Final = 16
"""Items that a thread takes at once."""


def map_reads(read: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Apply a function that reads files to each item; return the results in the items' order.

    Raises the first error of the function.
    """
    parts = [items[start : start + PART] for start in range(0, len(items), PART)]
    with ThreadPoolExecutor(READERS) as pool:
        done = pool.map(lambda part: [read(item) for item in part], parts)
        return [result for results in done for result in results]
