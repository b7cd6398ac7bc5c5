"""Write an ingested subject's responses as netCDF that xarray and Brain-Score read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from orchestrator.cli.errors import InputError
from orchestrator.ingest.folder.assemblies import NEUROID, PRESENTATION, require_xarray
from trainables.data.data_directory import DataDirectory, is_there
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import Manifest
from trainables.data.verification import read_vertex_table
from trainables.storage.atomic import atomic_write
from trainables.wording import meant, some

VARIABLE: Final = "data"
REGIONS: Final = ";"
"""Between the names of a neuroid's ROIs."""
ROWS_PER_CHUNK: Final = 16
_VOXEL: Final = {"voxel_i": "voxel_x", "voxel_j": "voxel_y", "voxel_k": "voxel_z"}
_PLACES: Final = {"fsaverage": "vertex", "fslr": "vertex", **_VOXEL}
"""Columns of vertices.parquet, and their names in an assembly."""


def write_assembly(data: DataDirectory, name: str, out: Path) -> tuple[int, int]:
    """Write a subject's responses atomically; return the numbers of presentations and neuroids.

    name: of the subject's directory. A few rows are in memory at a time. Raises InputError for a
    subject that is not there, or another suffix than .nc.
    """
    require_xarray(out)
    if out.suffix != ".nc":
        raise InputError(f"--out {out}: expected a name that ends in .nc; choose another name")
    shard = data.shard(name)
    if not is_there(shard):
        there = [path.name for path in data.shards()]
        raise InputError(
            f"{data}: no subject {name!r}, only {some(there) or 'none'}; use one of them"
            f"{meant(name, there)}"
        )
    manifest = Manifest.read(shard)
    neuroids = _neuroids(shard, manifest)
    presentations: dict[str, list[Any]] = {"stimulus_id": [], "split": [], "order": []}
    with atomic_write(out) as partial:
        _write(partial, shard, manifest, presentations, neuroids)
    return manifest.n_images, len(next(iter(neuroids.values())))


def _write(
    path: Path,
    shard: Path,
    manifest: Manifest,
    presentations: dict[str, list[Any]],
    neuroids: Mapping[str, list[Any]],
) -> None:
    import h5netcdf  # an optional dependency, which require_xarray has found

    sides = list(manifest.n_vertices)
    shape = manifest.n_images, sum(manifest.n_vertices.values())
    columns = ("stimulus", "split", "order", *sides)
    with h5netcdf.File(path, "w") as file:
        file.dimensions = dict(zip((PRESENTATION, NEUROID), shape, strict=True))
        chunk = min(ROWS_PER_CHUNK, shape[0]), shape[1]
        values = file.create_variable(
            VARIABLE, (PRESENTATION, NEUROID), np.dtype("float32"), chunks=chunk
        )
        first = 0
        for block in read_rows(shard, columns):
            parts = [fixed_width(block[side], np.float32) for side in sides]
            values[first : first + len(block)] = np.concatenate(parts, axis=1)
            first += len(block)
            for name, column in zip(presentations, columns, strict=False):
                presentations[name] += block[column].to_pylist()
        presentations["repetition"] = [0] * shape[0]
        for dimension, found in ((PRESENTATION, presentations), (NEUROID, neuroids)):
            for name, one in found.items():
                _add_coordinate(file, name, dimension, one)
        values.attrs["coordinates"] = " ".join([*presentations, *neuroids])
        values.attrs["identifier"] = shard.name
        if manifest.is_simulated:
            values.attrs["is_simulated"] = "true"


def _add_coordinate(file: Any, name: str, dimension: str, values: list[Any]) -> None:
    import h5py

    is_text = isinstance(values[0], str)
    kind = h5py.string_dtype() if is_text else np.asarray(values).dtype
    added = file.create_variable(name, (dimension,), kind)
    added[...] = np.array(values, dtype=object if is_text else kind)


def _neuroids(shard: Path, manifest: Manifest) -> dict[str, list[Any]]:
    """Return the coordinates of neuroids, in the order of hemispheres and columns."""
    frame: pd.DataFrame = read_vertex_table(shard, None).to_pandas()
    parts = [frame[frame["hemisphere"] == side] for side in manifest.n_vertices]
    frame = pd.concat(parts)
    ids = [
        f"{manifest.subject}-{side}-{vertex}"
        for side, vertex in zip(frame["hemisphere"], frame["vertex"], strict=True)
    ]
    found: dict[str, list[Any]] = {
        "neuroid_id": ids,
        "subject": [manifest.subject] * len(frame),
        "hemisphere": frame["hemisphere"].tolist(),
        "region": [REGIONS.join(rois) for rois in frame["rois"]],
    }
    if frame["noise_ceiling"].notna().any():
        found["nc_testset"] = (100 * np.square(frame["noise_ceiling"])).tolist()
    for column, name in _PLACES.items():
        if column in frame and frame[column].notna().all():
            found.setdefault(name, frame[column].astype(np.int32).tolist())
    return found
