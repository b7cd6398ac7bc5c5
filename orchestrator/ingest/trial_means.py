"""Average the trials of each image, session by session, in memory that does not grow with the data.

A session's responses come in blocks of vertices. Each block is z-scored over all of the session's
trials, and added to the rows of its images in a scratch file. The writer of shards then reads these
rows, a few at a time, as means.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final, Self

import numpy as np
from numpy.typing import NDArray

NOT_KEPT: Final = -1
"""The row of a trial that is part of its session's mean and deviation, but of no row."""
BLOCK_BYTES: Final = 16 << 20
"""The most bytes of float32 responses that are read at once."""
VALUE_BYTES: Final = 4
ROWS_AT_ONCE: Final = 512


@dataclass(frozen=True)
class Block:
    """Responses of neighbouring vertices in all trials of a session."""

    hemisphere: str
    columns: slice
    """Which of the hemisphere's vertices they are."""
    values: NDArray[np.float32]
    """(n_trials, n_columns); a vertex with a NaN is invalid in the whole session."""


Reader = Callable[[int], Iterable[Block]]
"""Reads a session, counted from 0, as blocks that cover each vertex of each hemisphere once."""


def column_blocks(n_trials: int, n_columns: int) -> Iterator[slice]:
    """Divide columns into blocks of at most BLOCK_BYTES of float32, of one column at least."""
    step = max(1, BLOCK_BYTES // (VALUE_BYTES * n_trials))
    for start in range(0, n_columns, step):
        yield slice(start, min(start + step, n_columns))


@dataclass(frozen=True)
class TrialRows:
    """The row that each trial of each session belongs to, or NOT_KEPT."""

    sessions: tuple[NDArray[np.int32], ...]
    """(n_trials,) of each session, in order."""
    n_rows: int

    def counts(self) -> NDArray[np.int32]:
        """Count each row's trials in each session: (n_rows, n_sessions)."""
        found = np.zeros((self.n_rows, len(self.sessions)), np.int32)
        for session, rows in enumerate(self.sessions):
            np.add.at(found[:, session], rows[rows != NOT_KEPT], 1)
        return found


@dataclass(frozen=True)
class MeanRows:
    """The mean responses of a hemisphere's images: (n_rows, n_vertices), on disk."""

    path: Path
    """Sums over trials: (n_rows, n_columns) float32."""
    counts: NDArray[np.int32]
    """(n_rows, n_sessions): trials of each row."""
    is_valid: NDArray[np.bool_]
    """(n_sessions, n_columns): whether a vertex has responses in a session."""
    columns: NDArray[np.intp]
    """The vertices that are read, ascending."""

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """Read the means of some rows: (n, n_vertices) float32, NaN without a valid trial."""
        first, last, step = rows.indices(len(self.counts))
        if step != 1:
            raise ValueError("expected rows one after another")
        n_columns = self.is_valid.shape[1]
        with self.path.open("rb") as stream:
            stream.seek(first * n_columns * VALUE_BYTES)
            wanted = max(0, last - first) * n_columns
            sums = np.fromfile(stream, np.float32, wanted).reshape(-1, n_columns)[:, self.columns]
        with np.errstate(invalid="ignore"):
            return sums / self._count_valid(slice(first, last), self.columns)

    def _count_valid(self, rows: slice, columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Count the valid trials of rows at vertices: (n_rows, n_columns), whole numbers."""
        # Of floats, whose product is computed by BLAS.
        found: NDArray[np.float32]
        found = self.counts[rows].astype(np.float32) @ self.is_valid[:, columns].astype(np.float32)
        return found

    def with_every_session(self) -> Self:
        """Return the same rows with only those vertices that have responses in every session."""
        return replace(self, columns=np.flatnonzero(self.is_valid.all(axis=0)))

    def complete(self) -> Self:
        """Return the same rows with only those vertices that have a valid trial in each row."""
        doubtful = np.flatnonzero(~self.is_valid.all(axis=0))
        is_complete = np.ones(self.is_valid.shape[1], bool)
        for first in range(0, len(self.counts), ROWS_AT_ONCE):
            counts = self._count_valid(slice(first, first + ROWS_AT_ONCE), doubtful)
            is_complete[doubtful] &= (counts > 0).all(axis=0)
        return replace(self, columns=np.flatnonzero(is_complete))


@dataclass
class TrialMeans:
    """Sums of a subject's trials by row, in scratch files."""

    folder: Path
    """An empty directory, which must last as long as the rows are read."""
    n_columns: Mapping[str, int]
    """Vertices of each hemisphere."""
    trials: TrialRows
    zscores: bool = True
    """Whether to z-score each vertex over all trials of a session (divisor n)."""
    _valid: dict[str, NDArray[np.bool_]] = field(init=False)

    def __post_init__(self) -> None:
        n_sessions = len(self.trials.sessions)
        self._valid = {name: np.zeros((n_sessions, n), bool) for name, n in self.n_columns.items()}
        for name, n in self.n_columns.items():
            with self._path(name).open("wb") as stream:
                stream.truncate(self.trials.n_rows * n * VALUE_BYTES)

    def read(self, reader: Reader, watch: Callable[[int, Block], None] | None = None) -> None:
        """Read and add all sessions.

        watch: called with each session and its blocks as they are added: z-scored, and NaN where a
        vertex is not valid.
        """
        for session in range(len(self.trials.sessions)):
            for block in reader(session):
                added = self.add(session, block)
                if watch is not None:
                    watch(session, added)

    def add(self, session: int, block: Block) -> Block:
        """Add a session's block to the rows of its trials; return what was added.

        Raises ValueError for a block with another number of trials.
        """
        rows = self.trials.sessions[session]
        if len(block.values) != len(rows):
            raise ValueError(f"expected {len(rows)} trials, found {len(block.values)}")
        values = zscored(block.values) if self.zscores else without_invalid(block.values)
        self._valid[block.hemisphere][session, block.columns] = np.isfinite(values[0])
        offset, width = block.columns.start * VALUE_BYTES, self.n_columns[block.hemisphere]
        finite = np.nan_to_num(values, nan=0.0)
        with self._path(block.hemisphere).open("r+b") as stream:
            for row, value in zip(rows.tolist(), finite, strict=True):
                if row != NOT_KEPT:
                    _add_to(stream, row * width * VALUE_BYTES + offset, value)
        return Block(block.hemisphere, block.columns, values)

    def rows(self) -> dict[str, MeanRows]:
        """Return the means of each hemisphere, with all vertices; see `MeanRows.complete`."""
        counts = self.trials.counts()
        return {
            name: MeanRows(self._path(name), counts, self._valid[name], np.arange(n))
            for name, n in self.n_columns.items()
        }

    def _path(self, hemisphere: str) -> Path:
        return self.folder / f"{hemisphere}.float32"


def _add_to(file: BinaryIO, place: int, values: NDArray[np.float32]) -> None:
    """Add values to those at a place of a file."""
    file.seek(place)
    sums = np.frombuffer(file.read(values.nbytes), np.float32) + values
    file.seek(place)
    file.write(sums.tobytes())


def zscored(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Z-score each column over its rows, with divisor n; NaN where it has a NaN, or is constant."""
    exact = values.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of infinite values
        mean, spread = exact.mean(axis=0), exact.std(axis=0)
        is_valid = np.isfinite(spread) & (np.ptp(values, axis=0) > 0)
        exact -= mean
        exact /= np.where(is_valid, spread, np.nan)
    return exact.astype(np.float32)


def without_invalid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Set columns with any NaN or infinite value to NaN as a whole."""
    is_valid = np.isfinite(values).all(axis=0)
    found: NDArray[np.float32] = np.where(is_valid, values, np.float32(np.nan))
    return found


def scratch_bytes(n_rows: int, n_columns: Mapping[str, int]) -> int:
    """Return the size of the scratch files."""
    return n_rows * sum(n_columns.values()) * VALUE_BYTES
