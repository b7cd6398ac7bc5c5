"""The matrix of dissimilarities of many models, whose log-probabilities are read in pieces.

ImageNet's of 721 models are 43 GB: no more is held than a piece of the images, and what an earlier
table has is not computed again.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from orchestrator.analyze.questions.bhattacharyya import Array, dissimilarities

VALUES: Final = 1 << 24
"""Log-probabilities, or overlaps of models, in memory at once; with their copies about 0.5 GB."""
AT_ONCE: Final = 256
"""Models of each side that are read together, unless all of them fit: two files open for each."""

Numbers = np.ndarray[Any, np.dtype[np.intp]]
Stream = Callable[[int], Iterator[Array]]
"""Reads a model's log-probabilities, a number of images at a time: (images, n_classes) each."""
Known = Sequence[tuple[Sequence[str], Array]]
"""Earlier matrices: the keys of their models, and the dissimilarities of these."""


def compare_all(
    keys: Sequence[str], models: Sequence[Stream], known: Known, shape: tuple[int, int]
) -> Array:
    """Fill the matrix of dissimilarities, reading only models with an unknown pair.

    keys: of each model. shape: (n_images, n_classes). Returns (n, n), symmetric, zero diagonal.
    """
    n = len(keys)
    D = _fill(keys, known)
    at_once = n if n * shape[0] * shape[1] <= VALUES else AT_ONCE
    n_unknown = np.isnan(D).sum(axis=1)
    is_new = n_unknown >= n - 1
    for due in (np.flatnonzero(is_new), np.flatnonzero(~is_new & (n_unknown > 0))):
        for rows in _groups(due, at_once):
            for columns in _groups(np.arange(n), at_once):
                wanted = columns[np.isnan(D[np.ix_(rows, columns)]).any(axis=0)]
                if len(wanted):
                    block = _compare(models, rows, wanted, shape[1])
                    D[np.ix_(rows, wanted)] = block
                    D[np.ix_(wanted, rows)] = block.T
    np.fill_diagonal(D, 0.0)
    return D


def _fill(keys: Sequence[str], known: Known) -> Array:
    """Make the matrix of known pairs, (n, n), zero on the diagonal; NaN for the others."""
    D = np.full((len(keys), len(keys)), np.nan)
    place = {key: number for number, key in enumerate(keys)}
    for names, values in known:
        theirs = [number for number, name in enumerate(names) if name in place]
        ours = [place[names[number]] for number in theirs]
        D[np.ix_(ours, ours)] = values[np.ix_(theirs, theirs)]
    np.fill_diagonal(D, 0.0)
    return D


def _groups(numbers: Numbers, size: int) -> Iterator[Numbers]:
    return (numbers[start : start + size] for start in range(0, len(numbers), size))


def _compare(models: Sequence[Stream], rows: Numbers, columns: Numbers, n_classes: int) -> Array:
    """Compare the models of rows with those of columns: (rows, columns)."""
    n_rows, n_columns = len(rows), len(columns)
    size = max(1, VALUES // max(n_classes * (n_rows + n_columns), n_rows * n_columns))
    left = _side(models, rows, size)
    if np.array_equal(rows, columns):
        block = dissimilarities((piece, piece) for piece in left)
        symmetric: Array = (block + block.T) / 2
        return symmetric
    return dissimilarities(zip(left, _side(models, columns, size), strict=True))


def _side(models: Sequence[Stream], numbers: Numbers, size: int) -> Iterator[Array]:
    """Yield the log-probabilities of some models: (images, models, classes)."""
    streams = [models[number](size) for number in numbers]
    return (np.stack(pieces, axis=1) for pieces in zip(*streams, strict=True))
