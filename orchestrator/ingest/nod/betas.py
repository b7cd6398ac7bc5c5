"""The responses of a NOD subject: betas of the kept vertices, z-scored run by run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.arrays import listed
from orchestrator.ingest.checked import Responses
from orchestrator.ingest.nod.cifti import STRUCTURES, Grayordinates, Maps, open_scalars
from orchestrator.ingest.settings import ZScore

Columns = Mapping[str, NDArray[np.int32]]
"""The selected columns of the beta files for each hemisphere."""


@dataclass(frozen=True)
class Betas:
    """Reader of a subject's responses, with one run in memory at a time."""

    runs: tuple[Path, ...]
    columns: Columns
    zscore: ZScore

    def __call__(self) -> Responses:
        """Read and z-score the kept vertices: (n_images, n_kept) float32 of each hemisphere."""
        parts: dict[str, list[NDArray[np.float32]]] = {side: [] for side in self.columns}
        for path in self.runs:
            standard = standardise(open_scalars(path, "betas"), self.columns, self.zscore)
            for side, values in standard.items():
                parts[side].append(values)
        return {side: np.concatenate(values) for side, values in parts.items()}


def standardise(maps: Maps, columns: Columns, zscore: ZScore) -> dict[str, NDArray[np.float32]]:
    """Z-score one run's betas in the selected columns, with the population standard deviation.

    run: each vertex by its own mean and deviation over the run's trials. run-matrix: all vertices
    by one mean and deviation over the run's trials and all cortical grayordinates.
    """
    values = maps.values()
    kept = {side: values[:, c].astype(np.float64) for side, c in columns.items()}
    if zscore == "run":
        return {side: _by_vertex(betas) for side, betas in kept.items()}
    whole = values[:, maps.grayordinates.cortex]
    mean, spread = whole.mean(dtype=np.float64), whole.std(dtype=np.float64)
    return {side: ((betas - mean) / spread).astype(np.float32) for side, betas in kept.items()}


def _by_vertex(betas: NDArray[np.float64]) -> NDArray[np.float32]:
    standard: NDArray[np.float32]
    standard = ((betas - betas.mean(axis=0)) / betas.std(axis=0)).astype(np.float32)
    return standard


def check_betas(
    maps: Maps, reference: Maps, n_trials: int | None, used: Columns | None = None
) -> str | None:
    """Raise InputError unless a run has the reference's grayordinates and one map per trial.

    NaN or infinite betas in the columns that are used are errors as well; returns a line that
    names those in other columns of the cortex, None if there are none. n_trials: number of images
    that the run lists; None if they could not be read. used: None for the whole cortex.
    """
    everywhere = maps.grayordinates.columns
    columns = everywhere if used is None else used
    others = {side: np.setdiff1d(everywhere[side], columns[side]) for side in STRUCTURES}
    broken = _not_finite(maps, columns)
    complaints = [*_other_grayordinates(maps, reference), *_other_count(maps, n_trials)]
    complaints += [f"{broken}; download it again"] if broken else []
    if complaints:
        raise InputError(*complaints)
    unused = _not_finite(maps, others)
    return f"{unused}; none of them is read" if unused else None


def _other_grayordinates(maps: Maps, reference: Maps) -> list[str]:
    found, expected = maps.grayordinates, reference.grayordinates
    if maps.path == reference.path or _same_columns(found, expected):
        return []
    return [
        f"{maps.path}: {found.counted()}, but {reference.path} has {expected.counted()}; expected "
        "the same vertices in the same order in every run: download both again"
    ]


def _same_columns(one: Grayordinates, other: Grayordinates) -> bool:
    return one.n_columns == other.n_columns and all(
        np.array_equal(getattr(one, name)[side], getattr(other, name)[side])
        for name in ("columns", "vertices")
        for side in STRUCTURES
    )


def _other_count(maps: Maps, n_trials: int | None) -> list[str]:
    if n_trials is None or maps.n_maps == n_trials:
        return []
    return [
        f"{maps.path}: betas of {maps.n_maps:,} trials, but the run's label file or events name "
        f"{n_trials:,} images; download both again"
    ]


def _not_finite(maps: Maps, columns: Columns) -> str | None:
    """Name the vertices that have NaN or infinite betas among those columns."""
    places = maps.grayordinates
    counts = (~np.isfinite(maps.values())).sum(axis=0)
    names: list[str] = []
    total = 0
    for side in STRUCTURES:
        inside = np.isin(places.columns[side], columns[side])
        broken = places.columns[side][inside & (counts[places.columns[side]] > 0)]
        total += int(counts[broken].sum())
        names += [f"{side} {v}" for v in _vertices(places, side, broken)]
    if not names:
        return None
    return (
        f"{maps.path}: {total:,} betas are NaN or infinite, in {len(names):,} of "
        f"{len(places.cortex):,} vertices: {listed(names)}"
    )


def _vertices(places: Grayordinates, side: str, columns: NDArray[np.int32]) -> list[int]:
    """List the mesh vertices of columns of a hemisphere."""
    of_mesh = dict(zip(places.columns[side].tolist(), places.vertices[side].tolist(), strict=True))
    return [of_mesh[column] for column in columns.tolist()]


def check_variance(maps: Maps, columns: Columns) -> None:
    """Raise InputError if selected vertices are constant over a run, and can't be z-scored."""
    values = maps.values()
    names: list[str] = []
    for side, kept in columns.items():
        constant = kept[np.ptp(values[:, kept], axis=0) == 0]
        names += [f"{side} {v}" for v in _vertices(maps.grayordinates, side, constant)]
    if names:
        raise InputError(
            f"{maps.path}: {len(names):,} kept vertices have the same beta in every trial of the "
            f"run, so they can't be z-scored: {listed(names)}; download it again, or take them "
            "out of the atlas"
        )
