"""Z-score presentations and average repeats, a few rows at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from orchestrator.ingest.arrays import SCAN_BYTES
from orchestrator.ingest.folder.matrices import Matrix
from orchestrator.ingest.noise_ceilings import MIN_REPEATS, RepeatStatistics

Rows = NDArray[np.intp]
Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of each column over the presentations of each session."""

    session: Integers
    """(n_rows,) of each row of the responses."""
    mean: NDArray[np.float32]
    """(n_sessions, n_columns)"""
    deviation: NDArray[np.float32]

    def apply(self, values: NDArray[np.float32], rows: Rows) -> NDArray[np.float32]:
        """Z-score rows of the responses: (n, n_columns)."""
        session = self.session[rows]
        scaled: NDArray[np.float32] = (values - self.mean[session]) / self.deviation[session]
        return scaled


@dataclass(frozen=True)
class Measured:
    """What one pass over the responses found."""

    scaling: Scaling | None
    """None where nothing is to be z-scored."""
    is_complete: NDArray[np.bool_]
    """(n_columns,): finite everywhere, and constant in no session."""


def measure(matrix: Matrix, session: Integers, *, zscores: bool) -> Measured:
    """Measure each column in each session, and find those that are not finite or constant.

    session: (n_rows,). The memory is that of a few blocks of rows and of the sessions' moments.
    """
    n_sessions, n_columns = int(session.max()) + 1, matrix.shape[1]
    count = np.bincount(session, minlength=n_sessions)[:, None]
    sums, squares = np.zeros((2, n_sessions, n_columns))
    first = np.nan_to_num(matrix.read(np.array([0])))[0].astype(np.float64)
    is_finite = np.ones(n_columns, bool)
    for rows in row_blocks(matrix):
        values = matrix.read(rows).astype(np.float64)
        is_finite &= np.isfinite(values).all(axis=0)
        values = np.nan_to_num(values, posinf=0.0, neginf=0.0) - first
        for number in np.unique(session[rows]):
            part = values[session[rows] == number]
            sums[number] += part.sum(axis=0)
            squares[number] += np.square(part).sum(axis=0)
    mean = sums / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    varies = (deviation > 1e-6 * (np.abs(mean + first) + 1e-30)).all(axis=0)
    if not zscores:
        return Measured(None, is_finite)
    with np.errstate(over="ignore"):
        scaling = Scaling(session, (mean + first).astype(np.float32), deviation.astype(np.float32))
    return Measured(scaling, is_finite & varies)


def row_blocks(matrix: Matrix) -> Iterator[Rows]:
    """Divide rows into blocks of at most SCAN_BYTES, of one row at least."""
    n_rows, n_columns = matrix.shape
    step = max(1, SCAN_BYTES // (8 * n_columns))
    for start in range(0, n_rows, step):
        yield np.arange(start, min(start + step, n_rows))


@dataclass(frozen=True)
class MeanResponses:
    """The mean over its presentations of each image: (n_images, n_columns), read when asked."""

    matrix: Matrix
    scaling: Scaling | None
    rows: tuple[Rows, ...]
    """The presentations of each image, ascending."""
    columns: Rows
    """Which columns of the matrix."""

    def first(self) -> Self:
        """Return the responses to the first presentation of each image alone."""
        return replace(self, rows=tuple(rows[:1] for rows in self.rows))

    def trials_of(self, image: int) -> NDArray[np.float32]:
        """Read an image's presentations: (n_trials, n_columns), z-scored."""
        rows = self.rows[image]
        values = self.matrix.read(rows)
        if self.scaling is not None:
            with np.errstate(invalid="ignore", divide="ignore"):  # of columns that are left out
                values = self.scaling.apply(values, rows)
        return values[:, self.columns]

    def __getitem__(self, images: slice) -> NDArray[np.float32]:
        """Read the means of some images: (n, n_columns)."""
        chosen = range(*images.indices(len(self.rows)))
        means = [self.trials_of(image).mean(axis=0, dtype=np.float64) for image in chosen]
        return np.array(means, np.float32).reshape(len(chosen), len(self.columns))

    def statistics(self) -> RepeatStatistics:
        """Estimate the noise from every image that was shown twice or more."""
        found = RepeatStatistics(len(self.columns))
        for image, rows in enumerate(self.rows):
            if len(rows) >= MIN_REPEATS:
                found.add(self.trials_of(image))
        return found
