"""Read a NeuroidAssembly, brain-score's form of responses, from netCDF.

Its dimensions are presentation and neuroid, in either order, and perhaps time_bin of length 1.
Coordinates of presentation and of neuroid are what presentations.csv and neuroids.csv hold.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import require_file
from orchestrator.ingest.folder.columns import Columns, usual_names
from trainables.wording import some

PRESENTATION: Final = "presentation"
NEUROID: Final = "neuroid"
TIME: Final = "time_bin"


@dataclass(frozen=True)
class Assembly:
    """An opened assembly of one subject."""

    array: Any
    """An xarray.DataArray of (presentation, neuroid), not loaded."""
    presentations: Columns
    neuroids: Columns

    @property
    def shape(self) -> tuple[int, int]:
        """Presentations and neuroids."""
        n_rows, n_columns = self.array.shape
        return n_rows, n_columns

    def read(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Read rows, in ascending order: (n_rows, n_neuroids)."""
        return np.asarray(self.array.isel({PRESENTATION: rows}).values, dtype=np.float32)


def require_xarray(path: Path) -> Any:
    """Import xarray, with the library that it reads and writes netCDF by.

    Raises InputError with the cure where one is not installed.
    """
    try:
        import h5netcdf  # noqa: F401  # xarray's engine
        import xarray
    except ImportError as error:
        raise InputError(
            f"{path}: netCDF needs xarray and h5netcdf; run: pip install 'cortex-sweep[data]'"
        ) from error
    return xarray


def open_assembly(path: Path) -> Assembly:
    """Open a subject's assembly; raise InputError where it is none, or of several subjects."""
    xarray = require_xarray(path)
    require_file(path, "responses")
    try:
        opened = xarray.open_dataset(path, engine="h5netcdf")
    except Exception as error:  # h5netcdf raises what HDF5 and its attributes make it raise
        raise InputError(f"{path}: not a readable netCDF-4 file ({error}); save again") from error
    array = _responses_of(path, opened)
    if TIME in array.dims:
        if array.sizes[TIME] != 1:
            raise InputError(
                f"{path}: {array.sizes[TIME]} time bins; expected one: average or choose, and save "
                "it again"
            )
        array = array.isel({TIME: 0})
    array = array.transpose(PRESENTATION, NEUROID)
    presentations, neuroids = (_coordinates(opened, name) for name in (PRESENTATION, NEUROID))
    subjects = sorted(set(neuroids.get("subject", ())))
    if len(subjects) > 1:
        raise InputError(
            f"{path}: neuroids of {len(subjects)} subjects ({some(subjects)}); save one file per "
            "subject, in a folder of its own"
        )
    return Assembly(array, presentations, neuroids)


def _responses_of(path: Path, opened: Any) -> Any:
    """Find the only variable of presentations and neuroids."""
    allowed = {PRESENTATION, NEUROID, TIME}
    found = [
        variable
        for variable in opened.data_vars.values()
        if {PRESENTATION, NEUROID} <= set(variable.dims) <= allowed
    ]
    if len(found) != 1 or found[0].dtype.kind != "f" or 0 in found[0].shape:
        there = [f"{name} of {variable.dims}" for name, variable in opened.data_vars.items()]
        raise InputError(
            f"{path}: expected one variable of floats with the dimensions {PRESENTATION} and "
            f"{NEUROID}, found {some(there) or 'none'}; save a NeuroidAssembly"
        )
    return found[0]


def _coordinates(opened: Any, dimension: str) -> Columns:
    """Return the coordinates of a dimension as text, under the usual names of columns."""
    found = {
        str(name): [_text(value) for value in variable.values.tolist()]
        for name, variable in opened.variables.items()
        if variable.dims == (dimension,)
    }
    return {new: found[old] for old, new in usual_names(found).items()}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
