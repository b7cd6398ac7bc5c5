"""Which images a backbone was trained on, and which of a subject's images are among them."""

from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from trainables.data.data_directory import DataDirectory
from trainables.data.rows import read_rows
from trainables.data.shards import TEST, TRAIN, Manifest
from trainables.spec import Roi, Trial, Untuned

Names = np.ndarray[Any, np.dtype[np.str_]]
Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Stimuli:
    """One subject's images by their ids over all subjects, with the split."""

    data: str
    """Digest of the subject's shards."""
    names: Names
    """(n_images,) stimulus ids by row."""
    train: Rows
    """Rows of the training images, in the split's order."""
    test: Rows

    @classmethod
    def read(cls, shard: Path) -> Self:
        """Read a subject's stimulus ids and split; raise ValueError when there are no rows."""
        blocks = list(read_rows(shard, ("index", "stimulus", "split", "order")))
        if not blocks:
            raise ValueError(f"{shard}: no rows; ingest it again")
        table = pa.concat_tables(blocks).sort_by("index")
        split = table["split"].to_numpy()
        by_place = np.argsort(table["order"].to_numpy(), kind="stable")
        return cls(
            Manifest.read(shard).data,
            np.asarray(table["stimulus"].to_pylist(), dtype=np.str_),
            train=by_place[split[by_place] == TRAIN],
            test=by_place[split[by_place] == TEST],
        )


@dataclass(frozen=True)
class Overlap:
    """A subject's images that a backbone was trained on."""

    rows: Rows
    """Of training and test images alike."""
    n_test: int
    """How many of them are test images."""


class KnownStimuli:
    """The stimuli of a data directory's subjects, each read once."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._read: dict[tuple[str, str], Stimuli] = {}
        self._overlaps: dict[tuple[object, ...], Overlap] = {}

    def of(self, roi: Roi) -> Stimuli:
        """Return the stimuli of an ROI's subject.

        Raises ValueError when the subject is not there as the ROI knew it.
        """
        key = (roi.shard, roi.data)
        if key not in self._read:
            shard = DataDirectory(self._data).subject(roi.shard)
            stimuli = Stimuli.read(shard) if shard.is_dir() else None
            if stimuli is None or stimuli.data != roi.data:
                found = "is not there" if stimuli is None else f"is {stimuli.data} now"
                raise ValueError(
                    f"{shard}: the data {roi.data} that a backbone was fine-tuned on {found}, so "
                    "the images that it has seen can't be known; ingest that data again"
                )
            self._read[key] = stimuli
        return self._read[key]

    def overlap(self, model: Trial, target: Roi) -> Overlap:
        """Find the images of a target's subject that a trial's backbone is trained on.

        Images held back for validation are not trained on. An untuned backbone has seen none.
        """
        if isinstance(model.objective, Untuned):
            return Overlap(np.empty(0, np.int64), 0)
        share = model.objective.validation
        sources = [(roi.shard, roi.data) for roi in model.rois]
        key = (*sources, share, target.shard, target.data)
        if key not in self._overlaps:
            trained = [_trained_on(self.of(roi), share) for roi in model.rois]
            subject = self.of(target)
            seen = np.isin(subject.names, np.concatenate(trained))
            self._overlaps[key] = Overlap(np.flatnonzero(seen), int(seen[subject.test].sum()))
        return self._overlaps[key]


def _trained_on(stimuli: Stimuli, validation: float) -> Names:
    """Name the training images, but for the last share, which is held back."""
    n_held_back = floor(validation * len(stimuli.train))
    names: Names = stimuli.names[stimuli.train[: len(stimuli.train) - n_held_back]]
    return names
