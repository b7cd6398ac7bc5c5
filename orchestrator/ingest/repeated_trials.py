"""Estimate ncsnr from the trials of repeated images, session by session, in little memory.

The analysis of variance needs the sum of each image's trials, which is kept on disk, and the sum of
squares over all trials of each vertex.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.ingest.noise_ceilings import MIN_REPEATS, VarianceSums, ncsnr_by_variance
from orchestrator.ingest.trial_means import (
    NOT_KEPT,
    Block,
    MeanRows,
    TrialMeans,
    TrialRows,
    column_blocks,
)


def repeated_images(sessions: tuple[NDArray[np.integer[Any]], ...]) -> TrialRows:
    """Give a row to each image with two trials or more, in any sessions; the others have none.

    sessions: of each session, (n_trials,) the number of each trial's image, from 0.
    """
    shown, n_trials = np.unique(np.concatenate(sessions), return_counts=True)
    repeated = shown[n_trials >= MIN_REPEATS]
    row_of = np.full(int(shown.max()) + 1, NOT_KEPT, np.int32)
    row_of[repeated] = np.arange(len(repeated))
    return TrialRows(tuple(row_of[images] for images in sessions), len(repeated))


@dataclass
class RepeatedTrials:
    """Accumulate sessions of normalised responses, to estimate ncsnr of each vertex."""

    folder: Path
    """An empty directory."""
    n_columns: Mapping[str, int]
    """Vertices of each hemisphere."""
    images: TrialRows
    """The repeated images; see `repeated_images`."""
    _sums: TrialMeans = field(init=False)
    _squares: dict[str, NDArray[np.float64]] = field(init=False)

    def __post_init__(self) -> None:
        self._sums = TrialMeans(self.folder, self.n_columns, self.images, zscores=False)
        self._squares = {side: np.zeros(n) for side, n in self.n_columns.items()}

    def add(self, session: int, block: Block) -> None:
        """Add a session's block, z-scored, and NaN where a vertex is not valid."""
        self._sums.add(session, block)
        kept = np.nan_to_num(block.values[self.images.sessions[session] != NOT_KEPT], nan=0.0)
        squares = np.einsum("ij,ij->j", kept, kept, dtype=np.float64)
        self._squares[block.hemisphere][block.columns] += squares

    def ncsnr(self) -> dict[str, NDArray[np.float64]]:
        """Estimate ncsnr of each hemisphere's vertices; NaN without enough repeated images."""
        return {
            side: _ncsnr_of(rows, self._squares[side]) for side, rows in self._sums.rows().items()
        }


def _ncsnr_of(rows: MeanRows, squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Read the means, some images at a time, and sum up what the analysis of variance needs.

    squares: (n_vertices,) sums of squares over all trials. An image with one valid trial at a
    vertex adds its square to those, and is no repeat: it is taken out again.
    """
    found = VarianceSums(*np.zeros((6, len(squares))))
    for images in column_blocks(len(squares), len(rows.counts)):
        means = np.nan_to_num(rows[images].astype(np.float64), nan=0.0)
        n = (rows.counts[images] @ rows.is_valid.astype(np.int32)).astype(np.float64)
        repeated = np.where(n >= MIN_REPEATS, n, 0)
        found.within -= (n * means**2).sum(axis=0)
        found.n_images += (repeated > 0).sum(axis=0)
        found.n_trials += repeated.sum(axis=0)
        found.n_squared += (repeated**2).sum(axis=0)
        found.total += (repeated * means).sum(axis=0)
        found.between += (repeated * means**2).sum(axis=0)
    found.within += squares
    return ncsnr_by_variance(found)
