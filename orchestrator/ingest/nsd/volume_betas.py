"""Read betas of a volume, func1pt8mm or func1mm: ``betas_session01.hdf5`` or ``….nii.gz``.

Of an HDF5 file only the chosen voxels are read. A compressed file is read once for each session,
and its chosen voxels are kept in a temporary file, so that memory does not grow with their number.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from os.path import lexists
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.ingest.checked import Findings
from orchestrator.ingest.nsd.brain_masks import check_axes, check_sample, sample_places
from orchestrator.ingest.nsd.compressed_betas import check_nifti_betas, stream_trials
from orchestrator.ingest.nsd.families import Family
from orchestrator.ingest.nsd.files import NsdFiles
from orchestrator.ingest.nsd.integer_betas import (
    Saturation,
    check_shape,
    open_betas,
    read_columns,
    stored_shape,
    to_percent,
)
from orchestrator.ingest.nsd.ncsnr import read_volume_ncsnr
from orchestrator.ingest.nsd.rois import Rois, read_volume_rois
from orchestrator.ingest.nsd.spaces import Vertices, require_below
from orchestrator.ingest.nsd.volumes import (
    VOXEL_AXES,
    Shape,
    read_volume,
    volume_shape,
    voxel_indices,
)
from orchestrator.ingest.trial_means import Block, column_blocks
from trainables.spec.rois import HEMISPHERES

SUFFIXES: Final = (".hdf5", ".nii.gz", ".nii")
"""Of a session's file, in the order of preference."""
_MASK: Final = "brain mask"
Stored = tuple[str, slice, NDArray[np.int16]]
"""Hemisphere, columns, and stored betas (n_trials, n_columns)."""


class VolumeBetas:
    """The betas of one subject in a volume; see `BetaSpace`. Vertices are places, see `volumes`."""

    def __init__(self, files: NsdFiles) -> None:
        self._files = files
        self._shape: Shape | None = None
        self._saturation = Saturation()

    def files(self) -> dict[str, Path]:
        """Name the betas, the brain mask and ncsnr."""
        named = {f"betas {number}": self._path(number) for number in self._files.sessions}
        return named | {_MASK: self._mask, "ncsnr": self._ncsnr}

    def inspect(self, n_trials: Sequence[int] | None, findings: Findings) -> None:
        """Check the shapes and types of all sessions, and the order of their axes.

        Of compressed files, the order is checked when they are read.
        """
        self._shape = findings.attempt(volume_shape, self._mask, _MASK)
        if self._shape is None:
            return
        mask = findings.attempt(read_volume, self._mask, _MASK)
        for place, number in enumerate(self._files.sessions):
            expected = None if n_trials is None else n_trials[place]
            findings.attempt(self._check, self._path(number), self._shape, mask, expected)

    def _check(
        self, path: Path, shape: Shape, mask: NDArray[Any] | None, n_trials: int | None
    ) -> None:
        if path.suffix != SUFFIXES[0]:
            check_nifti_betas(path, shape, n_trials)
            return
        found = stored_shape(path, 4)
        check_shape(path, found, (n_trials or found[0], *shape[::-1]))
        if mask is not None:
            with open_betas(path, 4) as data:
                check_axes(path, data, self._mask, mask)

    def read_rois(self, families: Sequence[Family], findings: Findings) -> Rois | None:
        """Read the ROIs of families by place."""
        return read_volume_rois(families, self._shape, findings)

    def read_ncsnr(self, findings: Findings) -> Mapping[str, NDArray[Any]] | None:
        """Read ncsnr of each place, the same for both hemispheres, where there is a file."""
        if self._shape is None or not self._ncsnr.exists():
            return None
        found = findings.attempt(read_volume_ncsnr, self._ncsnr, self._shape)
        return None if found is None else dict.fromkeys(HEMISPHERES, found)

    def coordinates(self, vertices: Vertices) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        """Return the places along the three axes."""
        shape = self._known_shape()
        return {side: voxel_indices(chosen, shape) for side, chosen in vertices.items()}

    def find(self, places: Mapping[str, NDArray[Any]]) -> NDArray[np.int32]:
        """Return the places of voxels; raise InputError where the volume lacks one."""
        shape = self._known_shape()
        for axis, size in zip(VOXEL_AXES, shape, strict=True):
            require_below(places[axis], size, self._mask)
        x, y, z = (places[axis].astype(np.int64) for axis in VOXEL_AXES)
        return (x + shape[0] * (y + shape[1] * z)).astype(np.int32)

    def read(self, session: int, vertices: Vertices) -> Iterator[Block]:
        """Read a session in blocks of places."""
        number = self._files.sessions[session]
        path = self._path(number)
        blocks = _chosen if path.suffix == SUFFIXES[0] else self._unpacked
        for side, columns, stored in blocks(path, vertices):
            self._saturation.count(number, stored)
            yield Block(side, columns, to_percent(stored))

    def _unpacked(self, path: Path, vertices: Vertices) -> Iterator[Stored]:
        """Read a compressed session once, and yield its chosen columns from a temporary file."""
        mask = read_volume(self._mask, _MASK, self._known_shape())
        sample = sample_places(mask)
        places = np.unique(np.concatenate([sample, *vertices.values()]))
        has_data, n_trials = np.zeros(len(places), bool), 0
        with tempfile.TemporaryFile() as scratch:
            for trial in stream_trials(path, places):
                scratch.write(trial.tobytes())
                has_data |= trial != 0
                n_trials += 1
            scratch.flush()
            sampled = has_data[np.searchsorted(places, sample)]
            check_sample(path, self._mask, sampled, mask[sample].astype(bool))
            kept = np.memmap(scratch, np.int16, "r", shape=(n_trials, len(places)))
            for side, chosen in vertices.items():
                where = np.searchsorted(places, chosen)
                for columns in column_blocks(n_trials, len(chosen)):
                    yield side, columns, kept[:, where[columns]]

    def notes(self) -> list[str]:
        """Count the saturated betas."""
        return self._saturation.notes(self._files.betas)

    def _known_shape(self) -> Shape:
        return self._shape or volume_shape(self._mask, _MASK)

    def _path(self, number: int) -> Path:
        paths = [self._files.betas / f"{self._files.beta_stem(number)}{end}" for end in SUFFIXES]
        return next((path for path in paths if lexists(path)), paths[0])

    @property
    def _mask(self) -> Path:
        folder = self._files.source / "nsddata" / "ppdata" / self._files.subject
        return folder / self._files.choices.space / "brainmask.nii.gz"

    @property
    def _ncsnr(self) -> Path:
        return self._files.betas / "ncsnr.nii.gz"


def _chosen(path: Path, vertices: Vertices) -> Iterator[Stored]:
    """Read the chosen columns of an HDF5 file."""
    with open_betas(path, 4) as data:
        for side, chosen in vertices.items():
            for columns in column_blocks(len(data), len(chosen)):
                yield side, columns, read_columns(data, chosen[columns])
