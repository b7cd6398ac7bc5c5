"""A subject's measured responses to its test images, and which images they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import TEST
from trainables.results.prediction_files import RoiPredictions

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ImageNumbers:
    """Numbers of images, the same for an image that several subjects of a data set saw."""

    _known: dict[tuple[str, str], int] = field(default_factory=dict)

    def of(self, dataset: str, stimuli: Sequence[str]) -> Array:
        """Return the numbers of images, by the names of their stimuli: (n_images,)."""
        known = self._known
        return np.array([known.setdefault((dataset, name), len(known)) for name in stimuli])


@dataclass(frozen=True)
class HeldOutResponses:
    """A subject's responses to its test images, by row of the response file."""

    index: Array
    """(n_images,) ascending rows of the response file."""
    stimuli: Array
    """(n_images,) names of the images."""
    values: Mapping[str, Array]
    """Of each hemisphere, (n_images, n_vertices)."""

    @classmethod
    def read(cls, shard: Path, hemispheres: Sequence[str], *, verify: bool = True) -> Self:
        """Read a subject's test rows; verify: as :func:`trainables.data.rows.read_rows` does."""
        names = sorted(set(hemispheres))
        index: list[Array] = []
        stimuli: list[str] = []
        parts: dict[str, list[Array]] = {name: [] for name in names}
        for block in read_rows(shard, ("index", "split", "stimulus", *names), verify=verify):
            kept = np.array([split == TEST for split in block["split"].to_pylist()], bool)
            if not kept.any():
                continue
            index.append(block["index"].to_numpy()[kept])
            stimuli += [s for s, k in zip(block["stimulus"].to_pylist(), kept, strict=True) if k]
            for name, matrices in parts.items():
                matrices.append(fixed_width(block[name], np.float32)[kept])
        rows = np.concatenate([np.empty(0, np.int64), *index])
        order = np.argsort(rows)
        values = {name: np.concatenate(blocks)[order] for name, blocks in parts.items() if blocks}
        return cls(rows[order], np.array(stimuli, object)[order], values)

    def rows_of(self, predictions: RoiPredictions) -> Array:
        """Find the test images that were predicted: (n_test,) rows of ``values``.

        Raises ValueError where one of them is no test image.
        """
        if not np.isin(predictions.index, self.index).all():
            raise ValueError(
                f"predictions of {predictions.roi.id}: expected the test images of its data, found "
                "other images; run the sweep again"
            )
        return np.searchsorted(self.index, predictions.index)

    def of(self, predictions: RoiPredictions) -> Array:
        """Take the responses that were predicted: (n_test, n_vertices)."""
        rows = self.rows_of(predictions)
        measured: Array = self.values[predictions.roi.hemisphere][rows[:, None], predictions.vertex]
        return measured
