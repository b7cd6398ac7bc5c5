"""What each column of the responses is: neuroids.csv, and the noise ceilings in it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.cli.text import count
from orchestrator.ingest.folder.columns import Columns, as_integers, read_columns, require_filled
from orchestrator.ingest.folder.description import CeilingUnit, Space
from orchestrator.ingest.folder.matrices import Opened
from orchestrator.ingest.folder.surfaces import check_surfaces
from orchestrator.ingest.layouts import DESCRIPTION
from trainables.spec.rois import BOTH, HEMISPHERES
from trainables.wording import some

NEUROIDS: Final = "neuroids.csv"
VOXEL: Final = {"voxel_x": "voxel_i", "voxel_y": "voxel_j", "voxel_z": "voxel_k"}
"""Columns of neuroids.csv, and those of vertices.parquet."""
MESH_SIZES: Final[Mapping[Space, int]] = {"fsaverage": 163_842, "fsLR32k": 32_492}
"""Vertices of a hemisphere."""
NATIVE: Final[Space] = "native"
SURFACES: Final = (*MESH_SIZES, NATIVE)
"""Spaces in which a column is a vertex of a hemisphere's mesh."""
SIDE_NAMES: Final = {
    **{name: side for side in HEMISPHERES for name in (side, side[0])},
    **{"left": "lh", "right": "rh"},
}
MOST: Final[Mapping[CeilingUnit, float]] = {"percent_variance": 100, "variance": 1, "r": 1}

Floats = NDArray[np.float64]
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class Neuroids:
    """The columns of the responses."""

    path: Path
    ids: tuple[str, ...]
    sides: Mapping[str, NDArray[np.intp]]
    """The columns of each hemisphere, in order; ``both`` where they are not divided."""
    region: tuple[str, ...] | None
    """The only ROI of each column; empty for none."""
    fsaverage: Integers | None
    coordinates: Mapping[str, Integers]
    """By names of vertices.parquet."""
    ceiling: Floats | None
    """(n_columns,) highest r of a perfect model."""
    ncsnr: Floats | None


def read_neuroids(folder: Path, opened: Opened, space: Space, unit: CeilingUnit | None) -> Neuroids:
    """Read a subject's neuroids.csv, or what its assembly gives instead.

    Without either, columns are named by their number, and have a hemisphere only if the responses
    are files by hemisphere. Raises InputError for another number of rows, or values that can't be.
    """
    path, n_columns = folder / NEUROIDS, opened.matrix.shape[1]
    if path.exists():
        columns = read_columns(path, "neuroids", ("neuroid_id",))
    else:
        columns = opened.neuroids or {}
        path = opened.paths[0]
    if "neuroid_id" not in columns:
        columns = {**columns, "neuroid_id": [str(number) for number in range(n_columns)]}
    require_filled(path, columns, ("neuroid_id",))
    ids = tuple(columns["neuroid_id"])
    if len(ids) != n_columns:
        raise InputError(
            f"{path}: {len(ids):,} neuroids, but the responses in {folder} have {n_columns:,} "
            "columns; give one row per column"
        )
    twice = [name for name, n in Counter(ids).items() if n > 1]
    if twice:
        raise InputError(f"{path}: there twice: {some(twice)}; rename one of each")
    sides = _sides(path, columns, opened.n_columns, n_columns)
    if BOTH in sides and space in SURFACES:
        raise InputError(
            f"{path}: expected a column hemisphere, since each has a mesh of its own in the space "
            f"{space} of {DESCRIPTION}; add it, or set space to none"
        )
    fsaverage, coordinates = _places(path, columns, space)
    on_mesh = coordinates.get("native_vertex", coordinates.get("fslr", fsaverage))
    if on_mesh is not None:
        check_surfaces(folder, path, on_mesh, sides, MESH_SIZES.get(space))
    ceiling, ncsnr = _ceilings(path, columns, unit)
    return Neuroids(
        path=path,
        ids=ids,
        sides=sides,
        region=tuple(columns["roi"]) if "roi" in columns else None,
        fsaverage=fsaverage,
        coordinates=coordinates,
        ceiling=ceiling,
        ncsnr=ncsnr,
    )


def _sides(
    path: Path, columns: Columns, by_file: Mapping[str, int], n_columns: int
) -> dict[str, NDArray[np.intp]]:
    """Return the columns of each hemisphere; raise InputError where only some have one."""
    in_files = [side for side, n in by_file.items() for _ in range(n)]
    given = [value.lower() for value in columns.get("hemisphere", in_files)]
    if set(given) <= {"", BOTH}:
        return {BOTH: np.arange(n_columns)}
    named = [SIDE_NAMES.get(value, value) for value in given]
    wrong = [row for row, side in enumerate(named) if side not in HEMISPHERES]
    if wrong:
        raise InputError(
            f"{path}: hemisphere is {given[wrong[0]]!r} in row {wrong[0] + 1}; expected lh or rh "
            "in each row: correct it, or remove the column"
        )
    if in_files and named != in_files:
        raise InputError(
            f"{path}: its hemispheres are not those of lh.npy and rh.npy; list the columns of "
            "lh.npy first, then those of rh.npy"
        )
    sides = np.array(named)
    return {side: np.flatnonzero(sides == side) for side in HEMISPHERES if side in named}


def _places(
    path: Path, columns: Columns, space: Space
) -> tuple[Integers | None, dict[str, Integers]]:
    """Read where neuroids lie; raise InputError for vertices or voxels that can't be."""
    if space in SURFACES:
        if "vertex" not in columns:
            raise InputError(
                f"{path}: expected a column vertex, as the space in {DESCRIPTION} is {space}; add "
                "it, or set space to none"
            )
        vertices = np.array(as_integers(path, columns, "vertex"), np.int32)
        if space == NATIVE:
            return None, {"native_vertex": vertices}
        outside = np.flatnonzero(vertices >= MESH_SIZES[space])
        if len(outside):
            raise InputError(
                f"{path}: vertex is {vertices[outside[0]]:,} in row {outside[0] + 1}; expected 0 "
                f"to {MESH_SIZES[space] - 1:,}, of {space}: count from 0, or correct the space"
            )
        return (vertices, {}) if space == "fsaverage" else (None, {"fslr": vertices})
    there = [name for name in VOXEL if name in columns]
    if space != "volume" or not there:
        return None, {}
    if len(there) < len(VOXEL):
        raise InputError(
            f"{path}: has {' and '.join(there)}; expected {', '.join(VOXEL)} together: add the "
            "others, or remove these"
        )
    found = {VOXEL[name]: np.array(as_integers(path, columns, name), np.int32) for name in VOXEL}
    return None, found


def _ceilings(
    path: Path, columns: Columns, unit: CeilingUnit | None
) -> tuple[Floats | None, Floats | None]:
    """Read noise ceilings as r, and ncsnr; raise InputError without a unit, or outside it."""
    ncsnr = _numbers(path, columns, "ncsnr", np.inf) if "ncsnr" in columns else None
    if "noise_ceiling" not in columns:
        return None, ncsnr
    if unit is None:
        raise InputError(
            f"{path}: has a column noise_ceiling (or nc_testset), whose unit is not known; set "
            f"noise_ceiling_unit in {DESCRIPTION} (that of nc_testset is percent_variance)"
        )
    values = _numbers(path, columns, "noise_ceiling", MOST.get(unit, np.inf))
    if unit == "ncsnr":
        return None, values
    largest = np.nanmax(values, initial=0)
    if unit == "percent_variance" and 0 < largest <= 1:
        raise InputError(
            f"{path}: noise_ceiling is at most {largest:.3g}; expected per cent, from 0 to 100: "
            f"set noise_ceiling_unit in {DESCRIPTION} to variance or r"
        )
    as_variance = {"percent_variance": values / 100, "variance": values, "r": values**2}[unit]
    return np.sqrt(as_variance), ncsnr


def _numbers(path: Path, columns: Columns, name: str, most: float) -> Floats:
    """Parse a column of numbers from 0 to most; empty, nan and n/a are NaN."""
    values = np.full(len(columns[name]), np.nan)
    for row, text in enumerate(columns[name]):
        try:
            values[row] = float("nan" if text.lower() in ("", "n/a", "na") else text)
        except ValueError:
            raise InputError(
                f"{path}: {name} is {text!r} in row {row + 1}; expected a number, or nothing where "
                "it is not known: correct it"
            ) from None
    outside: NDArray[Any] = np.flatnonzero((values < 0) | (values > most) | np.isinf(values))
    if len(outside):
        raise InputError(
            f"{path}: {name} is {values[outside[0]]:g} in row {outside[0] + 1}; expected 0 to "
            f"{most:g}, which is not so in {count(len(outside), 'row')}: correct it, or the unit "
            f"in {DESCRIPTION}"
        )
    return values
