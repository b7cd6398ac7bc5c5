"""Training-image overlap: which of a subject's images a backbone was trained on."""

from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from trainables.data.data_directory import DataDirectory
from trainables.data.rows import read_rows
from trainables.data.shards import Manifest, split_digest, split_rows
from trainables.data.verification import CURE, RowCheck
from trainables.spec import Roi, Trial, Untuned

Names = np.ndarray[Any, np.dtype[np.str_]]
Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Stimuli:
    """One subject's split, with stimulus ids that are shared by all subjects."""

    data: str
    """Digest of the subject's shards."""
    names: Names
    """(n_images,) stimulus ids by row."""
    train: Rows
    """Rows of the training images, in the order of the split."""
    test: Rows

    @classmethod
    def read(cls, shard: Path) -> Self:
        """Read a subject's stimulus ids and split.

        They are verified by their own digest, which is in the manifest, instead of by the SHA-256
        of files that also hold gigabytes of images. Raises ValueError when they differ.
        """
        manifest = Manifest.read(shard)
        blocks = list(read_rows(shard, ("index", "stimulus", "split", "order"), verify=False))
        check = RowCheck(shard, manifest.n_images)
        for block in blocks:
            check.add(block["index"].to_numpy())
        check.finish()
        table = pa.concat_tables(blocks).sort_by("index")
        names, sides, orders = (table[name].to_pylist() for name in ("stimulus", "split", "order"))
        found = split_digest(manifest.split, names, sides, orders)
        if found != manifest.split_digest:
            raise ValueError(
                f"{shard}: expected stimuli and split of digest {manifest.split_digest}, as in its "
                f"manifest, found {found}; {CURE}"
            )
        train, test = split_rows(shard, manifest, np.asarray(sides), np.asarray(orders))
        return cls(manifest.data, np.asarray(names, dtype=np.str_), train, test)


@dataclass(frozen=True)
class Overlap:
    """A subject's images that a backbone was trained on."""

    rows: Rows
    """Number of images in common, of training and test images together."""
    n_test: int
    """Number of these that are test images."""


class KnownStimuli:
    """The stimuli of a data directory's subjects, read once each."""

    def __init__(self, data: DataDirectory) -> None:
        self._data = data
        self._read: dict[tuple[str, str], Stimuli] = {}
        self._overlaps: dict[tuple[object, ...], Overlap] = {}

    def of(self, roi: Roi) -> Stimuli:
        """Return the stimuli of an ROI's subject.

        Raises ValueError when the subject is missing or its data differ from the ROI's.
        """
        key = (roi.shard, roi.data)
        if key not in self._read:
            shard = self._data.fetched_shard(roi.shard)
            stimuli = Stimuli.read(shard) if shard.is_dir() else None
            if stimuli is None or stimuli.data != roi.data:
                found = "is missing" if stimuli is None else f"is now {stimuli.data}"
                raise ValueError(
                    f"{shard}: the data {roi.data} that a backbone was fine-tuned on {found}, so "
                    "its training images are unknown; ingest that data again"
                )
            self._read[key] = stimuli
        return self._read[key]

    def overlap(self, model: Trial, target: Roi) -> Overlap:
        """Find the images of a target's subject that a trial's backbone is trained on.

        Validation images do not count as training images. An untuned backbone has no overlap.
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
    """Return the ids of the training images without the last share, which is for validation."""
    n_held_back = floor(validation * len(stimuli.train))
    names: Names = stimuli.names[stimuli.train[: len(stimuli.train) - n_held_back]]
    return names
