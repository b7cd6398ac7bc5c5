"""Noise ceilings of NSD-synthetic over all images, and over those of each class.

The noise of a trial is taken to be that of all images, which have more trials than a class; the
variance of the signal is the class's own, and so is the share of noise that its trials leave.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.ingest.noise_ceilings import RepeatStatistics, ceiling_of, noise_left

CLASS_CEILING_SCHEMA: Final = pa.schema(
    [
        pa.field("hemisphere", pa.string(), nullable=False),
        pa.field("class", pa.string(), nullable=False),
        pa.field("n_images", pa.int32(), nullable=False),
        pa.field("noise_left", pa.float64(), nullable=False),
        pa.field("noise_ceiling", pa.list_(pa.float32()), nullable=False),
    ]
)
"""Noise ceilings over the images of one class. noise_left: mean of 1 / trials. noise_ceiling: of
each of the hemisphere's vertices, in their order; NaN if unknown."""

ALL: Final = None
"""The key of all images, beside the names of classes."""


@dataclass
class ClassCeilings:
    """The noise ceilings of a subject's vertices, which come in blocks."""

    shown: NDArray[np.int32]
    """(n_trials,): the image of each trial."""
    classes: Sequence[str]
    """(n_images,): the class of each image."""
    n_columns: Mapping[str, int]
    """Vertices of each hemisphere."""
    _found: dict[str, dict[str | None, NDArray[np.float32]]] = field(init=False)

    def __post_init__(self) -> None:
        names = (ALL, *dict.fromkeys(self.classes))
        self._found = {
            side: {name: np.full(n, np.nan, np.float32) for name in names}
            for side, n in self.n_columns.items()
        }

    def add(self, hemisphere: str, columns: slice, values: NDArray[np.floating[Any]]) -> None:
        """Estimate the ceilings of some vertices. values: (n_trials, n_columns), z-scored."""
        found = self._found[hemisphere]
        statistics = {name: RepeatStatistics(values.shape[1]) for name in found}
        for image, name in enumerate(self.classes):
            trials = values[self.shown == image]
            statistics[ALL].add(trials)
            statistics[name].add(trials)
        noise = statistics[ALL].noise_variance()
        for key, one in statistics.items():
            found[key][columns] = ceiling_of(one.ncsnr(noise), self._left(key))

    def of_all(self, hemisphere: str) -> NDArray[np.float32]:
        """Return the ceilings over all images: (n_vertices,); NaN where not known."""
        return self._found[hemisphere][ALL]

    def table(self) -> pa.Table:
        """Tabulate the ceilings of classes, by CLASS_CEILING_SCHEMA."""
        rows = [
            {
                "hemisphere": side,
                "class": name,
                "n_images": self.classes.count(name),
                "noise_left": self._left(name),
                "noise_ceiling": values,
            }
            for side, found in self._found.items()
            for name, values in found.items()
            if name is not ALL
        ]
        return pa.Table.from_pylist(rows, CLASS_CEILING_SCHEMA)

    def _left(self, name: str | None) -> float:
        n_trials = np.bincount(self.shown, minlength=len(self.classes))
        chosen = np.array([name in (ALL, one) for one in self.classes])
        return noise_left(n_trials[chosen])
