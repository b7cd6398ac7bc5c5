"""What a reader of the betas of one subject, in one space, offers to the ingest."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Findings
from orchestrator.ingest.nsd.families import Family
from orchestrator.ingest.nsd.files import NsdFiles
from orchestrator.ingest.nsd.rois import Rois
from orchestrator.ingest.trial_means import Block

Vertices = Mapping[str, NDArray[np.int32]]
"""Of each hemisphere, the vertices (or places of voxels) of the space that are read, ascending."""


class BetaSpace(Protocol):
    """The betas of one subject in one space, session by session, and what belongs to them."""

    def files(self) -> dict[str, Path]:
        """Name the files that are read, without those of ROIs, to digest them."""

    def inspect(self, n_trials: Sequence[int] | None, findings: Findings) -> None:
        """Check what can be checked without reading betas; note what is wrong in findings.

        n_trials: of each session that is read; None where the design could not be read.
        """

    def read_rois(self, families: Sequence[Family], findings: Findings) -> Rois | None:
        """Read the ROIs of families, by vertex of the space; None where a problem was noted."""

    def read_ncsnr(self, findings: Findings) -> Mapping[str, NDArray[Any]] | None:
        """Read ncsnr of each vertex of the space, by hemisphere; None where there is no file."""

    def coordinates(self, vertices: Vertices) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        """Return where vertices lie, by hemisphere and name.

        Names are ``fsaverage``, or those of `trainables.data.shards.COORDINATES`.
        """

    def find(self, places: Mapping[str, NDArray[Any]]) -> NDArray[np.int32]:
        """Return the vertices of a hemisphere that `coordinates` has given these places.

        Raises InputError where one is not in the space.
        """

    def read(self, session: int, vertices: Vertices) -> Iterator[Block]:
        """Read a session, by its place among those that are read, in blocks of all its trials.

        The blocks' columns count the given vertices of a hemisphere, and cover each once. Values
        are in per cent of signal change; a vertex without data in the session is NaN. Raises
        InputError for what can't be read, or can't be betas.
        """

    def notes(self) -> list[str]:
        """Say what the user should know of the sessions that were read."""


def open_space(files: NsdFiles) -> BetaSpace:
    """Return the reader of a subject's betas, without opening a file."""
    if files.choices.space == "fsaverage":
        from orchestrator.ingest.nsd.fsaverage import FsaverageBetas

        return FsaverageBetas(files)
    if files.choices.space == "nativesurface":
        from orchestrator.ingest.nsd.native_surface import NativeBetas

        return NativeBetas(files)
    from orchestrator.ingest.nsd.volume_betas import VolumeBetas

    return VolumeBetas(files)


def require_below(places: NDArray[Any], limit: int, path: Path) -> NDArray[np.int32]:
    """Return places as whole numbers; raise InputError for one that is not in a file.

    limit: number of places in the file at path.
    """
    found = places.astype(np.int32)
    if len(found) and not 0 <= int(found.min()) <= int(found.max()) < limit:
        raise InputError(
            f"{path}: {limit:,} vertices or voxels along an axis, but the ingested subject has "
            f"number {int(found.max()):,}, counted from 0; take both from the same space"
        )
    return found
