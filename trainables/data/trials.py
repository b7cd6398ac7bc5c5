"""Read a subject's single trials, of which the responses of its images are the means."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.data.row_columns import response_fields
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import Manifest
from trainables.data.verification import RowCheck


def trial_schema(n_vertices: Mapping[str, int]) -> pa.Schema:
    """Return the Arrow schema of a single trial.

    index: row of its image. trial: its number, from 0, image by image. lh, rh: as of images.
    """
    numbers = [pa.field(name, pa.int32(), nullable=False) for name in ("index", "trial")]
    return pa.schema([*numbers, *response_fields(n_vertices)])


@dataclass(frozen=True)
class Trials:
    """Single trials of the training images."""

    images: NDArray[np.int64]
    """(n_trials,) row of each trial's image, ascending."""
    responses: NDArray[np.float32]
    """(n_trials, n_vertices)."""

    def at(self, vertices: NDArray[np.integer[Any]]) -> "Trials":
        """Return a copy with the responses of some vertices, in that order."""
        return replace(self, responses=np.take(self.responses, vertices, axis=1))


def read_trials(shard: Path, hemisphere: str, vertices: NDArray[np.integer[Any]]) -> Trials | None:
    """Read the trials at some vertices of a hemisphere; None where images have means alone.

    A few rows of all vertices are in memory at a time. Raises ValueError, with the name of the file
    or directory, when a file is damaged or of another ingest, or a trial is missing or there twice.
    """
    n_trials = Manifest.read(shard).n_trials
    if n_trials is None:
        return None
    images = np.empty(n_trials, np.int64)
    responses = np.empty((n_trials, len(vertices)), np.float32)
    check = RowCheck(shard, n_trials)
    for block in read_rows(shard, ("index", "trial", hemisphere), kind="trials"):
        numbers = block["trial"].to_numpy()
        check.add(numbers)
        images[numbers] = block["index"].to_numpy()
        responses[numbers] = fixed_width(block[hemisphere], np.float32)[:, vertices]
    check.finish()
    return Trials(images, responses)
