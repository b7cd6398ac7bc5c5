"""Read chosen columns of betas that are stored as int16, 300 for one per cent.

So are all betas but those on fsaverage: ``betas`` of ``(trials, V)`` on the native surface and of
``(trials, Z, Y, X)`` in a volume, as h5py shows them, in chunks of one column's trials. A column
that is 0 in all trials has no data: outside of the brain mask, or lost in that session.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.arrays import listed
from orchestrator.ingest.entries import require_file

if TYPE_CHECKING:
    import h5py

DATA_SET: Final = "betas"
PER_CENT: Final = 300
"""What one per cent of signal change is stored as."""
SATURATED: Final = 32_767
"""Values from here on, 109.2 %, were clipped."""
AXES: Final = {2: "(trials, vertices)", 4: "(trials, Z, Y, X)"}
"""As h5py shows them."""
LARGEST_GAP: Final = 8
"""Columns that are not wanted are read with others where so few lie between two that are: a read
of the file costs more than these."""


@dataclass
class Saturation:
    """Counts saturated betas, by session."""

    counts: dict[int, int] = field(default_factory=dict)
    """Of each session, by its number from 1."""

    def count(self, session: int, stored: NDArray[np.int16]) -> None:
        """Add the saturated ones of stored betas of any shape."""
        found = int((stored >= SATURATED).sum() + (stored <= -SATURATED).sum())
        self.counts[session] = self.counts.get(session, 0) + found

    def notes(self, folder: Path) -> list[str]:
        """Say in a line how many there were; no line for none."""
        total = sum(self.counts.values())
        sessions = [str(session) for session, count in sorted(self.counts.items()) if count]
        if not total:
            return []
        return [
            f"{folder}: {total:,} betas are saturated at ±{SATURATED / PER_CENT:.1f} %, in session "
            f"{listed(sessions)}; they are read as they are"
        ]


def to_percent(stored: NDArray[np.int16]) -> NDArray[np.float32]:
    """Convert stored betas, (n_trials, n_columns), to per cent; NaN where all trials are 0."""
    values = stored.astype(np.float32) / np.float32(PER_CENT)
    values[:, ~stored.any(axis=0)] = np.nan
    return values


@contextmanager
def open_betas(path: Path, n_axes: int) -> Iterator["h5py.Dataset"]:
    """Open the betas of an HDF5 file: of 2 axes, (trials, V), or of 4, (trials, Z, Y, X).

    Raises InputError for other axes or another type, and for what can't be read while it is open.
    """
    import h5py  # only this kind of file needs it

    require_file(path, "betas")
    try:
        with h5py.File(path, "r") as file:
            yield _checked(path, file, n_axes)
    except OSError as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path}: expected betas as an HDF5 file, found a damaged or other file ({reason}); "
            "download it again"
        ) from error


def _checked(path: Path, file: Any, n_axes: int) -> "h5py.Dataset":
    data = file.get(DATA_SET)
    if getattr(data, "shape", None) is None:
        raise InputError(
            f"{path}: expected a data set {DATA_SET}, found {', '.join(file) or 'none'}; download "
            "it again"
        )
    if data.dtype.kind != "i" or data.dtype.itemsize != 2:
        raise InputError(
            f"{path}: expected {DATA_SET} of int16, {PER_CENT} for one per cent, found "
            f"{data.dtype}; give the files as NSD has them"
        )
    if data.ndim != n_axes or not data.size:
        raise InputError(
            f"{path}: expected {DATA_SET} of {AXES[n_axes]}, found {data.shape}; give the files as "
            "NSD has them"
        )
    return data


def stored_shape(path: Path, n_axes: int) -> tuple[int, ...]:
    """Read the shape of an HDF5 file's betas; raises InputError as `open_betas`."""
    with open_betas(path, n_axes) as data:
        shape: tuple[int, ...] = data.shape
    return shape


def check_shape(path: Path, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise InputError unless betas have the expected trials and columns, in that order."""
    if found == expected:
        return
    if sorted(found) == sorted(expected):
        why = "the axes are in another order; save them as MATLAB's, which h5py shows reversed"
    elif found[1:] == expected[1:]:
        why = f"the design has {expected[0]} trials in this session; download it again"
    else:
        why = "of another subject or space; give that of the ROIs and other sessions"
    raise InputError(
        f"{path}: expected {DATA_SET} of {AXES[len(expected)]} = {expected}, found {found}: {why}"
    )


def read_columns(data: "h5py.Dataset", columns: NDArray[np.integer[Any]]) -> NDArray[np.int16]:
    """Read all trials of chosen columns: (n_trials, n_columns).

    columns: ascending vertices, or places x + X (y + Y z) of voxels. Only they are read, and those
    between two that are near each other.
    """
    stored = np.empty((len(data), len(columns)), np.int16)
    width = data.shape[-1]
    for first, last in _runs(columns, width):
        start, stop = int(columns[first]), int(columns[last - 1]) + 1
        row, offset = divmod(start, width)
        within = slice(offset, offset + stop - start)
        if data.ndim == 2:
            block = data[:, within]
        else:
            z, y = divmod(row, data.shape[2])
            block = data[:, z, y, within]
        stored[:, first:last] = block[:, columns[first:last] - start]
    return stored


def _runs(columns: NDArray[np.integer[Any]], width: int) -> Iterator[tuple[int, int]]:
    """Divide columns into runs that lie near each other in one row of the file."""
    if not len(columns):
        return
    far = (np.diff(columns) > LARGEST_GAP) | (np.diff(columns // width) > 0)
    bounds = [0, *(np.flatnonzero(far) + 1).tolist(), len(columns)]
    yield from pairwise(bounds)
