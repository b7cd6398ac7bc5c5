"""Open a subject's responses, (presentations, neuroids), in any of their forms, without reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from os.path import lexists
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.arrays import open_array
from orchestrator.ingest.entries import require_file
from orchestrator.ingest.folder.assemblies import open_assembly
from orchestrator.ingest.folder.columns import Columns
from trainables.spec.rois import HEMISPHERES

DATA_SET: Final = "responses"
"""Name of the array in an HDF5 file or a zarr group."""
FORMS: Final = ("responses.npy", "responses.h5", "responses.zarr", "responses.nc")
HALVES: Final = tuple(f"{side}.npy" for side in HEMISPHERES)


class Matrix(Protocol):
    """Responses on disk, of which rows are read."""

    @property
    def shape(self) -> tuple[int, int]:
        """Presentations and neuroids."""

    def read(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Read rows, in ascending order: (n_rows, n_neuroids)."""


@dataclass(frozen=True)
class Opened:
    """A subject's responses, and the tables that came with them."""

    paths: tuple[Path, ...]
    matrix: Matrix
    n_columns: dict[str, int]
    """Columns of each hemisphere, of files by hemisphere; else empty."""
    presentations: Columns | None = None
    neuroids: Columns | None = None


@dataclass(frozen=True)
class ArrayMatrix:
    """Arrays whose columns follow one another, indexed by a sequence of rows."""

    arrays: tuple[Any, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Presentations and neuroids."""
        return self.arrays[0].shape[0], sum(array.shape[1] for array in self.arrays)

    def read(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Read rows, in ascending order: (n_rows, n_neuroids)."""
        follow = len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1
        index = slice(int(rows[0]), int(rows[-1]) + 1) if follow else rows  # faster in HDF5
        with np.errstate(over="ignore"):  # what float32 can't hold is found as infinite
            parts = [np.asarray(array[index], dtype=np.float32) for array in self.arrays]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def find_responses(folder: Path) -> tuple[Path, ...]:
    """Find the file or files of a subject's responses; raise InputError unless there is one form.

    A folder without any has none.
    """
    there: list[tuple[Path, ...]] = [(folder / name,) for name in FORMS if lexists(folder / name)]
    halves = tuple(folder / name for name in HALVES)
    if any(map(lexists, halves)):
        there.append(halves)
    if len(there) > 1:
        raise InputError(
            f"{folder}: responses in {' and '.join(one[0].name for one in there)}; keep one of them"
        )
    return there[0] if there else ()


def open_responses(folder: Path) -> Opened:
    """Open a subject's responses; raise InputError where they are no (presentations, neuroids)."""
    paths = find_responses(folder)
    if not paths:
        raise InputError(
            f"{folder}: expected responses in {', '.join(FORMS)}, or {' and '.join(HALVES)}, found "
            "none; save them there"
        )
    if len(paths) > 1:
        return _open_halves(paths)
    (path,) = paths
    if path.suffix == ".nc":
        assembly = open_assembly(path)
        return Opened(paths, assembly, {}, assembly.presentations, assembly.neuroids)
    opened = {".npy": _open_npy, ".h5": _open_hdf5, ".zarr": _open_zarr}[path.suffix](path)
    return Opened(paths, ArrayMatrix((opened,)), {})


def _open_halves(paths: Sequence[Path]) -> Opened:
    halves = [_open_npy(path) for path in paths]
    n_rows = [len(half) for half in halves]
    if n_rows[0] != n_rows[1]:
        raise InputError(
            f"{paths[1]}: {n_rows[1]:,} presentations, but {paths[0].name} has {n_rows[0]:,}; save "
            "both from the same presentations"
        )
    widths = {side: half.shape[1] for side, half in zip(HEMISPHERES, halves, strict=True)}
    return Opened(tuple(paths), ArrayMatrix(tuple(halves)), widths)


def _open_npy(path: Path) -> Any:
    return require_matrix(path, open_array(path, "responses"))


def _open_hdf5(path: Path) -> Any:
    import h5py  # only this form needs it

    require_file(path, "responses")
    try:
        file = h5py.File(path)
    except OSError as error:
        raise InputError(f"{path}: not a readable HDF5 file ({error}); save it again") from error
    if DATA_SET not in file or not hasattr(file[DATA_SET], "shape"):
        raise InputError(
            f"{path}: expected a data set {DATA_SET}, found {', '.join(file) or 'none'}; save the "
            "matrix under that name"
        )
    return require_matrix(path, file[DATA_SET])


def _open_zarr(path: Path) -> Any:
    try:
        from zarr import open as open_zarr  # an optional dependency
    except ImportError as error:
        raise InputError(
            f"{path}: reading it needs zarr; run: pip install 'cortex-sweep[data]'"
        ) from error
    try:
        found: Any = open_zarr(str(path), mode="r")
    except Exception as error:  # zarr raises what its stores raise
        raise InputError(f"{path}: not a readable zarr ({error}); save it again") from error
    if not hasattr(found, "shape"):
        if DATA_SET not in found:
            raise InputError(
                f"{path}: expected an array, or a group with an array {DATA_SET}; save it so"
            )
        found = found[DATA_SET]
    return _ZarrArray(require_matrix(path, found))


@dataclass(frozen=True)
class _ZarrArray:
    """An array of zarr, indexed by rows as the others are."""

    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.array.shape
        return shape

    def __getitem__(self, rows: Any) -> Any:
        return self.array.oindex[rows]


def require_matrix(path: Path, found: Any) -> Any:
    """Return a matrix of floats as it is; raise InputError for any other array."""
    shape, kind = found.shape, np.dtype(found.dtype)
    if len(shape) != 2 or 0 in shape or kind.kind != "f":
        raise InputError(
            f"{path}: expected responses as floats of (presentations, neuroids), found {kind} of "
            f"{tuple(shape)}; save a 2-D array of float32"
        )
    return found
