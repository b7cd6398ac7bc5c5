"""How many images a protocol uses and needs, known before any are read."""

from math import floor
from typing import Final

from trainables.spec import CLEAN, CLEAN_SHARE, Protocol

MIN_ROWS: Final = 3
"""Fewest rows to correlate over: r of two is always 1 or -1."""
REFITTED: Final[tuple[Protocol, ...]] = ("nested", CLEAN)
"""Protocols that choose within training images, fit on these again and measure r on test images."""


def count_clean(n_train: int) -> int:
    """Count the rows of ``clean`` among so many training images."""
    return floor(CLEAN_SHARE * n_train)


def shortage(protocol: Protocol, n_folds: int, n_images: int, n_train: int, n_test: int) -> str:
    """Say which images are too few for a protocol, from the counts of a split; "" if none are."""
    if protocol in REFITTED and n_test < MIN_ROWS:
        return f"{n_test} test images, needs {MIN_ROWS}"
    released = min(n_train, n_images * 3 // 4 + n_images // 10)
    n = {
        "nested": n_train,
        "clean": count_clean(n_train),
        "paper": n_test,
        "released": released,
    }[protocol]
    side = "test" if protocol == "paper" else "training"
    if n // n_folds < MIN_ROWS:
        return f"{n} {side} images in {n_folds} folds, needs {MIN_ROWS * n_folds}"
    return ""
