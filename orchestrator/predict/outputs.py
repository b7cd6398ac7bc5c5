"""Write predictions as one file: Parquet, NumPy's, or NetCDF; the first two part by part."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from orchestrator.cli.errors import InputError
from orchestrator.encoding_models.config import ModelDirectory
from orchestrator.predict.parts import Predicted
from trainables.storage.atomic import CHECKED, atomic_write, write_text

NETCDF_BYTES: Final = 2**31
"""The largest NetCDF file that is written: it is made in memory."""
MODELS_KEY: Final = b"cortex_sweep.models"
UNKNOWN: Final = -1
"""The index of a vertex on a mesh that it is not on, in NetCDF."""


@dataclass(frozen=True)
class PredictedPart:
    """Predictions of some images by all models, NaN where an image can't be read."""

    rows: range
    predicted: Sequence[Predicted]
    """(n_rows, n_vertices) of each model."""


@dataclass(frozen=True)
class Contents:
    """What an output file holds."""

    names: Sequence[str]
    """Of the images."""
    models: Sequence[ModelDirectory]
    parts: Callable[[], Iterable[PredictedPart]]
    """Reads the predictions in order."""

    @property
    def n_vertices(self) -> int:
        """Count the columns of all models."""
        return sum(model.config.roi.n_vertices for model in self.models)

    def describe_models(self) -> list[dict[str, Any]]:
        """Describe the columns: each model, its ROI, and its vertices in order."""
        return [
            {
                "model": model.config.name,
                "roi": model.config.roi.id,
                "is_simulated": model.config.is_simulated,
                "vertex": list(model.config.vertices.vertex),
                "fsaverage": list(model.config.vertices.fsaverage),
            }
            for model in self.models
        ]


def check_output(out: Path) -> None:
    """Raise InputError for a file whose name or directory is not one to write to."""
    if out.suffix not in _WRITERS:
        raise InputError(f"--out {out}: expected a name that ends in {', '.join(_WRITERS)}")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: {out.parent} is not a directory; create it first")


def check_size(out: Path, n_images: int, models: Sequence[ModelDirectory]) -> None:
    """Raise InputError for a NetCDF file that is too large."""
    n_vertices = sum(model.config.roi.n_vertices for model in models)
    if out.suffix == ".nc" and 4 * n_images * n_vertices > NETCDF_BYTES:
        raise InputError(
            f"--out {out}: {n_images:,} images by {n_vertices:,} vertices are more than a NetCDF "
            "file of 2 GiB holds; give a name that ends in .parquet or .npy"
        )


def write_output(out: Path, contents: Contents) -> None:
    """Write an output file atomically, in the format of its name."""
    _WRITERS[out.suffix](out, contents)


def _write_parquet(out: Path, contents: Contents) -> None:
    """Write one row per image: its name, and a list of one float32 per vertex for each model."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lists = [
        pa.field(m.config.name, pa.list_(pa.float32(), m.config.roi.n_vertices), nullable=False)
        for m in contents.models
    ]
    about = {MODELS_KEY: json.dumps(contents.describe_models()).encode()}
    schema = pa.schema([pa.field("image", pa.string(), nullable=False), *lists], metadata=about)
    with (
        atomic_write(out) as beside,
        pq.ParquetWriter(beside, schema, compression="zstd", **CHECKED) as writer,
    ):
        for part in contents.parts():
            named = pa.array([contents.names[row] for row in part.rows])
            columns = [named, *map(_as_lists, part.predicted)]
            writer.write_table(pa.table(columns, schema=schema))


def _as_lists(predicted: Predicted) -> Any:
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(predicted).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, predicted.shape[1])


def _write_numpy(out: Path, contents: Contents) -> None:
    """Write (n_images, n_vertices) float32, and names of rows and columns beside it as JSON."""
    shape = (len(contents.names), contents.n_vertices)
    with atomic_write(out) as beside:
        matrix = np.lib.format.open_memmap(beside, "w+", np.float32, shape)
        for part in contents.parts():
            matrix[part.rows.start : part.rows.stop] = np.concatenate(part.predicted, axis=1)
        matrix.flush()
    names = {"images": list(contents.names), "columns": contents.describe_models()}
    write_text(out.with_suffix(".json"), json.dumps(names) + "\n")


def _write_netcdf(out: Path, contents: Contents) -> None:
    """Write ``response`` (image, column) as NetCDF 3, with the model and vertex of each column."""
    from scipy.io import netcdf_file

    matrix = np.empty((len(contents.names), contents.n_vertices), np.float32)
    for part in contents.parts():
        matrix[part.rows.start : part.rows.stop] = np.concatenate(part.predicted, axis=1)
    with atomic_write(out) as beside, netcdf_file(str(beside), "w", version=2) as file:
        file.createDimension("image", len(contents.names))
        file.createDimension("column", contents.n_vertices)
        file.createVariable("response", np.float32, ("image", "column"))[:] = matrix
        for name, values in _columns(contents).items():
            file.createVariable(name, np.int32, ("column",))[:] = np.array(values, np.int32)
        models = [model.config.name for model in contents.models for _ in model.config.vertices.r]
        for name, dimension, texts in (
            ("image_name", "image", contents.names),
            ("model", "column", models),
        ):
            letters = _letters(texts)
            file.createDimension(f"{name}_length", letters.shape[1])
            file.createVariable(name, "S1", (dimension, f"{name}_length"))[:] = letters


def _columns(contents: Contents) -> Mapping[str, list[int]]:
    vertices = [model.config.vertices for model in contents.models]
    return {
        "vertex": [v for one in vertices for v in one.vertex],
        "fsaverage": [UNKNOWN if v is None else v for one in vertices for v in one.fsaverage],
    }


def _letters(texts: Sequence[str]) -> "np.ndarray[Any, Any]":
    """Convert texts to (n, length) bytes, padded, as NetCDF 3 stores them."""
    encoded = np.array([text.encode() for text in texts])
    return encoded.view("S1").reshape(len(texts), -1)


_WRITERS: Final[Mapping[str, Callable[[Path, Contents], None]]] = {
    ".parquet": _write_parquet,
    ".npy": _write_numpy,
    ".nc": _write_netcdf,
}
