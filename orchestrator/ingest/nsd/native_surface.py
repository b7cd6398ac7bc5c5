"""Read betas on the subject's own surface: ``lh.betas_session01.hdf5``, see `integer_betas`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.ingest.checked import Findings
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
from orchestrator.ingest.nsd.ncsnr import read_surface_ncsnr
from orchestrator.ingest.nsd.rois import Rois, read_surface_rois
from orchestrator.ingest.nsd.spaces import Vertices, require_below
from orchestrator.ingest.trial_means import Block, column_blocks
from trainables.spec.rois import HEMISPHERES


class NativeBetas:
    """The betas of one subject on its own surface; see `BetaSpace`."""

    def __init__(self, files: NsdFiles) -> None:
        self._files = files
        self._n_vertices: dict[str, int] = {}
        self._saturation = Saturation()

    def files(self) -> dict[str, Path]:
        """Name the betas and ncsnr."""
        named = {
            f"betas {number} {side}": self._path(number, side)
            for number in self._files.sessions
            for side in HEMISPHERES
        }
        return named | {f"ncsnr {side}": self._ncsnr(side) for side in HEMISPHERES}

    def inspect(self, n_trials: Sequence[int] | None, findings: Findings) -> None:
        """Check the shapes and types of all sessions."""
        for place, number in enumerate(self._files.sessions):
            expected = None if n_trials is None else n_trials[place]
            for side in HEMISPHERES:
                findings.attempt(self._check, self._path(number, side), side, expected)

    def _check(self, path: Path, side: str, n_trials: int | None) -> None:
        """Check a session's numbers of trials and vertices, these against the first session's."""
        found = stored_shape(path, 2)
        trials = found[0] if n_trials is None else n_trials
        others = [size for size in found if size != trials]
        n_vertices = self._n_vertices.get(side, others[-1] if others else found[1])
        check_shape(path, found, (trials, n_vertices))
        self._n_vertices[side] = n_vertices

    def read_rois(self, families: Sequence[Family], findings: Findings) -> Rois | None:
        """Read the ROIs of families by native vertex."""
        known = len(self._n_vertices) == len(HEMISPHERES)
        return read_surface_rois(families, self._n_vertices if known else None, findings)

    def read_ncsnr(self, findings: Findings) -> Mapping[str, NDArray[Any]] | None:
        """Read ncsnr of each vertex, where there are files."""
        if not any(self._ncsnr(side).exists() for side in HEMISPHERES):
            return None
        found = {
            side: findings.attempt(read_surface_ncsnr, self._ncsnr(side), n)
            for side, n in self._n_vertices.items()
        }
        return {side: values for side, values in found.items() if values is not None}

    def coordinates(self, vertices: Vertices) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        """Return the native vertices."""
        return {side: {"native_vertex": chosen} for side, chosen in vertices.items()}

    def find(self, places: Mapping[str, NDArray[Any]]) -> NDArray[np.int32]:
        """Return the native vertices; raise InputError where the betas lack one."""
        return require_below(
            places["native_vertex"], max(self._n_vertices.values()), self._files.betas
        )

    def read(self, session: int, vertices: Vertices) -> Iterator[Block]:
        """Read a session in blocks of vertices."""
        number = self._files.sessions[session]
        for side, chosen in vertices.items():
            with open_betas(self._path(number, side), 2) as data:
                for columns in column_blocks(len(data), len(chosen)):
                    stored = read_columns(data, chosen[columns])
                    self._saturation.count(number, stored)
                    yield Block(side, columns, to_percent(stored))

    def notes(self) -> list[str]:
        """Count the saturated betas."""
        return self._saturation.notes(self._files.betas)

    def _path(self, number: int, side: str) -> Path:
        return self._files.betas / f"{side}.{self._files.beta_stem(number)}.hdf5"

    def _ncsnr(self, side: str) -> Path:
        return self._files.betas / f"{side}.ncsnr.mgh"
