"""Keep the trials of images apart, beside their means."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from orchestrator.ingest.trial_means import NOT_KEPT, MeanRows, TrialMeans, TrialRows


def single_trials(trials: TrialRows, is_kept: NDArray[np.bool_]) -> TrialRows:
    """Give each trial of some images a row of its own: image by image, then in order of time.

    trials: of rows that are images. is_kept: (n_images,) whether an image's trials are kept.
    """
    image = np.concatenate(trials.sessions)
    wanted = np.flatnonzero((image != NOT_KEPT) & is_kept[image])
    in_order = wanted[np.argsort(image[wanted], kind="stable")]
    row = np.full(len(image), NOT_KEPT, np.int32)
    row[in_order] = np.arange(len(in_order))
    ends = np.cumsum([len(rows) for rows in trials.sessions])[:-1]
    return TrialRows(tuple(np.split(row, ends)), len(in_order))


@dataclass(frozen=True)
class SingleRows:
    """The single trials of a hemisphere's images, on disk."""

    rows: MeanRows
    """One row per trial, as `single_trials` numbers them."""
    first: NDArray[np.intp]
    """(n_images + 1,) row of each image's first trial; at last the number of rows."""

    def trials_of(self, image: int) -> NDArray[np.float32]:
        """Read an image's trials: (n_trials, n_vertices)."""
        return self.rows[int(self.first[image]) : int(self.first[image + 1])]

    def at(self, columns: NDArray[np.intp]) -> Self:
        """Return the same trials at some of the vertices that are read, ascending."""
        return replace(self, rows=replace(self.rows, columns=columns))


@dataclass(frozen=True)
class SingleTrialPass:
    """One pass that keeps the trials of images apart."""

    means: TrialMeans
    """Where sessions are added, of which each row is one trial; they are z-scored already."""
    first: NDArray[np.intp]

    @classmethod
    def start(
        cls,
        folder: Path,
        n_columns: Mapping[str, int],
        trials: TrialRows,
        is_kept: NDArray[np.bool_],
    ) -> Self:
        """Begin a pass; folder: a new directory that lasts as long as the trials are read."""
        folder.mkdir()
        counts = np.where(is_kept, trials.counts().sum(axis=1), 0)
        first = np.concatenate([[0], np.cumsum(counts)])
        single = single_trials(trials, is_kept)
        return cls(TrialMeans(folder, n_columns, single, zscores=False), first)

    def rows(self) -> dict[str, SingleRows]:
        """Return the trials of each hemisphere, after all sessions were added."""
        return {side: SingleRows(rows, self.first) for side, rows in self.means.rows().items()}
