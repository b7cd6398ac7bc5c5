"""A subject whose source has been checked, and the problems of one that is invalid."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.splits import Split

T = TypeVar("T")


@dataclass(frozen=True)
class SurfaceVertices:
    """Where the columns of a hemisphere's responses come from in CIFTI files, one of each."""

    grayordinate: NDArray[np.int32]
    """Column of the source's response files."""
    fslr: NDArray[np.int32]
    """Vertex of the hemisphere's 32k fsLR mesh."""
    prf_r2: NDArray[np.float32]
    """Variance that the pRF model explains, in the unit of the source."""


@dataclass(frozen=True)
class Hemisphere:
    """One hemisphere of a subject, checked."""

    n_vertices: int
    """Columns of the hemisphere's responses."""
    regions: Mapping[str, NDArray[np.int32]]
    """The vertices of each ROI that has any, ascending; ROIs may share vertices."""
    fsaverage: NDArray[np.int32] | None
    noise_ceiling: NDArray[np.float32] | None
    surface: SurfaceVertices | None = None
    """Where the vertices lie, for a source that comes on the fsLR mesh."""


Responses = Mapping[str, NDArray[np.floating[Any]]]
"""The responses of each hemisphere: (n_images, n_vertices)."""


@dataclass(frozen=True)
class Subject:
    """One subject's source, checked: whatever is in it can be written."""

    dataset: str
    subject: str
    shard: str
    images: tuple[Path, ...]
    """In row order."""
    stimuli: tuple[str, ...]
    hemispheres: Mapping[str, Hemisphere]
    responses: Callable[[], Responses]
    """Read, or map into memory, what is too large to hold for every subject."""
    split: Split
    source: str
    """Digest of the source's files."""


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
        """Raise InputError with every complaint that was noted."""
        if self.complaints:
            raise InputError(*self.complaints)
