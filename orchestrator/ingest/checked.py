"""A subject whose source has been checked, and the problems of one that is invalid."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.image_places import ImagePlace
from orchestrator.ingest.splits import Split

T = TypeVar("T")


@dataclass(frozen=True)
class Hemisphere:
    """One hemisphere of a subject, checked."""

    n_vertices: int
    """Columns of the hemisphere's responses."""
    regions: Mapping[str, NDArray[np.int32]]
    """The vertices of each ROI that has any, ascending; ROIs may share vertices."""
    fsaverage: NDArray[np.int32] | None
    noise_ceiling: NDArray[np.float32] | None
    coordinates: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Where the vertices lie, by names of `trainables.data.shards.COORDINATES`: (n_vertices,) each,
    the same names in both hemispheres. Masked values and NaN are stored as null."""


class RowMatrix(Protocol):
    """Responses of a hemisphere, (n_images, n_vertices), read a few rows at a time."""

    def __getitem__(self, rows: slice, /) -> Any:
        """Read rows: (n, n_vertices) floats."""


Responses = Mapping[str, RowMatrix]
"""The responses of each hemisphere: (n_images, n_vertices)."""


class TrialMatrix(Protocol):
    """Single trials of a hemisphere, read image by image."""

    def trials_of(self, image: int, /) -> Any:
        """Read an image's trials: (n_trials, n_vertices) floats."""


@dataclass(frozen=True)
class KeptTrials:
    """The single trials of a subject's images."""

    counts: NDArray[np.integer[Any]]
    """(n_images,) trials that each image's responses are the mean of."""
    of: Callable[[], Mapping[str, TrialMatrix]]
    """Read, or map into memory, those of each hemisphere; of training images at least."""


@dataclass(frozen=True)
class Subject:
    """One subject's source, checked: whatever is in it can be written."""

    dataset: str
    subject: str
    shard: str
    images: tuple[ImagePlace, ...]
    """In row order."""
    stimuli: tuple[str, ...]
    hemispheres: Mapping[str, Hemisphere]
    responses: Callable[[], Responses]
    """Read, or map into memory, what is too large to hold for every subject."""
    split: Split
    source: str
    """Digest of the source's files."""
    noise_ceiling_formula: str | None = None
    """How the noise ceilings were computed; None where there are none, or where they were given."""
    trials: KeptTrials | None = None
    """Single trials to keep beside the means; None where means alone are kept."""
    stimulus_table: pa.Table | None = None
    """What is known of the images beside their pixels, such as classes: one row per image, with the
    column ``stimulus``; None where nothing is."""
    class_ceilings: pa.Table | None = None
    """Noise ceilings by class of images; None where none are known."""
    preparation: "Preparation | None" = None
    """What is to be done before the subject is written; None where nothing is."""


@dataclass(frozen=True)
class Preparation:
    """One pass over a source too large to be read twice, made after the check of everything."""

    n_bytes: int
    """Bytes that it reads of the source, for the progress bar."""
    n_scratch_bytes: int
    """Bytes that it writes to a temporary directory beside the shards."""
    run: Callable[[Path, Callable[[int], None]], Subject]
    """Reads the source, given an empty directory that lasts until the subject is written, and what
    is called with the number of bytes read since its last call. Returns the subject as it is to be
    written, perhaps without vertices whose responses turned out to be missing. Raises InputError
    for responses that can't be."""


class Findings:
    """Collect what is wrong while looking at everything."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.notes: list[str] = []
        """What the user should know of a source that is sound."""

    def attempt(self, read: Callable[..., T], *arguments: Any) -> T | None:
        """Call a reader; note its complaints and return None where it refuses."""
        try:
            return read(*arguments)
        except InputError as error:
            self.complaints.extend(error.lines)
            return None

    def raise_if_any(self) -> None:
        """Raise InputError with every complaint that was noted, each once."""
        if self.complaints:
            raise InputError(*dict.fromkeys(self.complaints))
