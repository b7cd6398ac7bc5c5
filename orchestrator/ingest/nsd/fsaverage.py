"""Read betas on fsaverage: ``{lh,rh}.betas_session01.mgh``, big-endian float32 in per cent.

A file is a header of 284 bytes, then trial after trial, each a value of every vertex. Of a trial
only the stretch between the first and the last vertex of a block is read.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.arrays import listed
from orchestrator.ingest.checked import Findings
from orchestrator.ingest.entries import require_file
from orchestrator.ingest.nsd.families import Family
from orchestrator.ingest.nsd.files import NsdFiles
from orchestrator.ingest.nsd.ncsnr import read_surface_ncsnr
from orchestrator.ingest.nsd.rois import Rois, read_surface_rois
from orchestrator.ingest.nsd.spaces import Vertices, require_below
from orchestrator.ingest.trial_means import Block, column_blocks
from trainables.spec.rois import HEMISPHERES

HEADER_BYTES: Final = 284
_HEADER: Final = struct.Struct(">6i")
"""Version, width, height, depth, frames, type."""
VERSION: Final = 1
FLOAT: Final = 3
VALUE: Final = np.dtype(">f4")


@dataclass(frozen=True)
class BetaFile:
    """One session's betas of a hemisphere."""

    path: Path
    n_vertices: int
    n_trials: int

    @classmethod
    def open(cls, path: Path) -> "BetaFile":
        """Read the header; raise InputError where it is not of betas, or the file is too short."""
        _refuse_compressed(path)
        require_file(path, "betas")
        with path.open("rb") as stream:
            raw = stream.read(_HEADER.size)
        if len(raw) < _HEADER.size:
            raise InputError(f"{path}: too short for an MGH file; download it again")
        version, width, height, depth, n_trials, kind = _HEADER.unpack(raw)
        if version == int.from_bytes(VERSION.to_bytes(4, "little")):
            raise InputError(
                f"{path}: little-endian, expected an MGH file, which is big-endian; write it by "
                "FreeSurfer or nibabel, or download it again"
            )
        if version != VERSION or min(width, n_trials) < 1:
            raise InputError(
                f"{path}: expected betas as an MGH file, found another file; download it again"
            )
        if kind != FLOAT or (height, depth) != (1, 1):
            raise InputError(
                f"{path}: expected float32 (type {FLOAT}) of (vertices, 1, 1, trials), found type "
                f"{kind} of {(width, height, depth, n_trials)}; give the files as NSD has them"
            )
        expected = HEADER_BYTES + VALUE.itemsize * width * n_trials
        if (size := path.stat().st_size) < expected:
            raise InputError(
                f"{path}: {size:,} bytes, expected {expected:,} for {n_trials:,} trials of "
                f"{width:,} vertices: truncated; download it again"
            )
        return cls(path, width, n_trials)

    def read(self, vertices: NDArray[np.int32]) -> NDArray[np.float32]:
        """Read all trials of ascending vertices: (n_trials, n); raise InputError if truncated."""
        values = np.empty((self.n_trials, len(vertices)), np.float32)
        if not len(vertices):
            return values
        first, n_read = int(vertices[0]), int(vertices[-1] - vertices[0]) + 1
        with self.path.open("rb") as stream:
            for trial in range(self.n_trials):
                place = trial * self.n_vertices + first
                stream.seek(HEADER_BYTES + VALUE.itemsize * place)
                found = np.fromfile(stream, VALUE, n_read)
                if len(found) < n_read:
                    raise InputError(f"{self.path}: truncated; download it again")
                values[trial] = found[vertices - first]
        return values


def _refuse_compressed(path: Path) -> None:
    packed = path.with_suffix(".mgz")
    if not path.exists() and packed.exists():
        raise InputError(
            f"{packed}: compressed, so that vertices can't be read alone; unpack it by "
            f"gzip -dc {packed.name} > {path.name}"
        )


class FsaverageBetas:
    """The betas of one subject on fsaverage; see `BetaSpace`."""

    def __init__(self, files: NsdFiles) -> None:
        self._files = files
        self._opened: dict[tuple[int, str], BetaFile] = {}

    def files(self) -> dict[str, Path]:
        """Name the betas and ncsnr."""
        named = {
            f"betas {number} {side}": self._path(number, side)
            for number in self._files.sessions
            for side in HEMISPHERES
        }
        return named | {f"ncsnr {side}": self._ncsnr(side) for side in HEMISPHERES}

    def inspect(self, n_trials: Sequence[int] | None, findings: Findings) -> None:
        """Check the headers and sizes of all sessions."""
        for place, number in enumerate(self._files.sessions):
            for side in HEMISPHERES:
                opened = findings.attempt(BetaFile.open, self._path(number, side))
                if opened is None:
                    continue
                self._opened[place, side] = opened
                expected = None if n_trials is None else n_trials[place]
                findings.attempt(self._check, opened, side, expected)

    def _check(self, opened: BetaFile, side: str, n_trials: int | None) -> None:
        """Compare a session's numbers of trials and vertices with the design and the first one."""
        if n_trials is not None and opened.n_trials != n_trials == opened.n_vertices:
            shape = (opened.n_vertices, 1, 1, opened.n_trials)
            raise InputError(
                f"{opened.path}: expected betas of (vertices, 1, 1, trials), with {n_trials:,} "
                f"trials, found {shape}: the axes are in another order, trials first; save them "
                "transposed, or download the file again"
            )
        if n_trials is not None and opened.n_trials != n_trials:
            raise InputError(
                f"{opened.path}: {opened.n_trials:,} trials, but the design has {n_trials:,} in "
                "this session; download it again"
            )
        first = next(one for (_, other), one in self._opened.items() if other == side)
        if opened.n_vertices != first.n_vertices:
            raise InputError(
                f"{opened.path}: {opened.n_vertices:,} vertices, but {first.path} has "
                f"{first.n_vertices:,}; take both from the same space and release"
            )

    def read_rois(self, families: Sequence[Family], findings: Findings) -> Rois | None:
        """Read the ROIs of families by vertex of fsaverage."""
        n_vertices = {side: one.n_vertices for (_, side), one in self._opened.items()}
        known = n_vertices if len(n_vertices) == len(HEMISPHERES) else None
        return read_surface_rois(families, known, findings)

    def read_ncsnr(self, findings: Findings) -> Mapping[str, NDArray[Any]] | None:
        """Read ncsnr of each vertex, where there are files."""
        n_vertices = {side: one.n_vertices for (_, side), one in self._opened.items()}
        if not any(self._ncsnr(side).exists() for side in HEMISPHERES):
            return None
        found = {
            side: findings.attempt(read_surface_ncsnr, self._ncsnr(side), n)
            for side, n in n_vertices.items()
        }
        return {side: values for side, values in found.items() if values is not None}

    def coordinates(self, vertices: Vertices) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        """Return the vertices of fsaverage."""
        return {side: {"fsaverage": chosen} for side, chosen in vertices.items()}

    def find(self, places: Mapping[str, NDArray[Any]]) -> NDArray[np.int32]:
        """Return the vertices of fsaverage; raise InputError where the betas lack one."""
        opened = next(iter(self._opened.values()))
        return require_below(places["fsaverage"], opened.n_vertices, opened.path)

    def read(self, session: int, vertices: Vertices) -> Iterator[Block]:
        """Read a session in blocks of vertices; raise InputError where a vertex is partly NaN."""
        for side, chosen in vertices.items():
            opened = self._opened[session, side]
            for columns in column_blocks(opened.n_trials, len(chosen)):
                values = opened.read(chosen[columns])
                _check_whole(opened.path, chosen[columns], values)
                yield Block(side, columns, values)

    def notes(self) -> list[str]:
        """Have nothing to say."""
        return []

    def _path(self, number: int, side: str) -> Path:
        return self._files.betas / f"{side}.{self._files.beta_stem(number)}.mgh"

    def _ncsnr(self, side: str) -> Path:
        return self._files.betas / f"{side}.ncsnr.mgh"


def _check_whole(path: Path, vertices: NDArray[np.int32], values: NDArray[np.float32]) -> None:
    """Raise InputError for vertices with infinite betas, or NaN in some trials only."""
    n_nan = np.isnan(values).sum(axis=0)
    is_partial = ((n_nan > 0) & (n_nan < len(values))) | np.isinf(values).any(axis=0)
    if is_partial.any():
        raise InputError(
            f"{path}: {is_partial.sum():,} vertices are infinite, or NaN in some trials but not in "
            f"all: {listed(vertices[is_partial])}; expected NaN in a whole session or not at all: "
            "download it again"
        )
