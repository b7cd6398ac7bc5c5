"""The responses of a subject: the mean of each stimulus' trials, read a few rows at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.mosaic.recordings import BETAS, opened


@dataclass(frozen=True)
class TrialMeans:
    """Reader of one hemisphere's responses, (n_stimuli, n_vertices) float32.

    Values are as MOSAIC has them, which normalised them by each session's training trials.
    """

    path: Path
    group: str
    """The subject's group in the file, or ``""``."""
    trials: tuple[tuple[str, ...], ...]
    """The names of each row's trials."""
    columns: NDArray[np.int32]
    """Grayordinates to read, ascending."""

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """Read rows; raise InputError naming a trial that lacks values."""
        wanted = self.trials[rows]
        means = np.empty((len(wanted), len(self.columns)), np.float32)
        with opened(self.path) as file:
            betas = (file[self.group] if self.group else file)[BETAS]
            for place, names in enumerate(wanted):
                means[place] = sum(self._read(betas, name) for name in names) / len(names)
        return means

    def trials_of(self, row: int) -> NDArray[np.float32]:
        """Read a row's trials: (n_trials, n_vertices); raise InputError as for means."""
        with opened(self.path) as file:
            betas = (file[self.group] if self.group else file)[BETAS]
            return np.array([self._read(betas, name) for name in self.trials[row]], np.float32)

    def _read(self, betas: Any, name: str) -> NDArray[np.float64]:
        """Read one trial: the smallest range that has the columns, from which they are taken."""
        first, last = int(self.columns[0]), int(self.columns[-1])
        values: NDArray[np.float64] = betas[name][first : last + 1].astype(np.float64)
        kept: NDArray[np.float64] = values[self.columns - first]
        n_broken = int((~np.isfinite(kept)).sum())
        if n_broken:
            raise InputError(
                f"{self.path}: trial {name!r} has {n_broken:,} NaN or infinite values that "
                "nan_indices_all does not list; download it again"
            )
        return kept
