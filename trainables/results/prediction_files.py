"""Predicted responses to test images: one Parquet file per (trial, ROI), one row per image.

``RUNS/predictions/<trial id>/<roi id>.parquet`` is written before the scores of the ROI.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from trainables.exceptions import Denied
from trainables.results.run_directory import RunDirectory
from trainables.spec import Roi
from trainables.spec.evaluation import AnyWorkItem, WorkItem
from trainables.spec.fields import Size, Text
from trainables.spec.records import parse, record
from trainables.storage.atomic import read_parquet, write_parquet

if TYPE_CHECKING:
    from trainables.encoding.score_rois import RoiScores

ABOUT: Final = b"cortex_sweep.predictions"
"""Metadata key: trial, ROI, the layer of each protocol, and the vertices in the lists' order."""


def prediction_schema(protocols: Sequence[str], n_vertices: int) -> pa.Schema:
    """Return the schema of a test image's predictions, with one column per protocol.

    ``index`` is the row of the response file, as in the subject's shards. The column of a protocol
    that makes one prediction per image is a list of float16, one per vertex, of mean 0 and
    variance 1 over images; NaN where the vertex has no r.
    """
    values = pa.list_(pa.float16(), n_vertices)
    columns = [pa.field(name, values, nullable=False) for name in protocols]
    return pa.schema([pa.field("index", pa.int32(), nullable=False), *columns])


@record
class About:
    """The metadata of a prediction file."""

    trial: AnyWorkItem
    roi: Roi
    layers: dict[Text, Text]
    """The layer that each protocol chose."""
    vertices: tuple[Size, ...]


@dataclass(frozen=True)
class RoiPredictions:
    """An ROI's predictions of the test images under one protocol."""

    roi: Roi
    layer: str
    index: np.ndarray[Any, np.dtype[np.int32]]
    """(n_test,) rows of the subject's response file."""
    vertex: np.ndarray[Any, np.dtype[np.int32]]
    """(n_vertices,) columns of the hemisphere's responses."""
    values: np.ndarray[Any, np.dtype[np.float16]]
    """(n_test, n_vertices), of mean 0 and variance 1 over images; NaN where a vertex has no r."""

    def take(self, rows: np.ndarray[Any, Any]) -> "RoiPredictions":
        """Select images by their positions in ``index``."""
        return replace(self, index=self.index[rows], values=self.values[rows])


def write_predictions(
    runs: RunDirectory, trial: WorkItem, scores: "Sequence[RoiScores]", index: np.ndarray[Any, Any]
) -> Path | None:
    """Write one ROI's predictions atomically; return the file, or None without predictions.

    index: (n_test,) rows of the response file, in the order of the predictions' rows.
    """
    kept = {one.protocol: one.predictions for one in scores if one.predictions is not None}
    if not kept:
        return None
    roi, vertex = scores[0].roi, scores[0].vertex
    about = {
        "trial": json.loads(trial.to_json()),
        "roi": asdict(roi),
        "layers": {one.protocol: one.layer for one in scores if one.protocol in kept},
        "vertices": vertex.tolist(),
    }
    schema = prediction_schema(list(kept), len(vertex))
    lists = [_as_lists(values) for values in kept.values()]
    table = pa.table([pa.array(index.astype(np.int32)), *lists], schema=schema)
    path = runs.prediction_file(trial.id, roi.id)
    described = table.replace_schema_metadata({ABOUT: json.dumps(about).encode()})
    write_parquet(path, described, use_dictionary=False)
    return path


def _as_lists(values: np.ndarray[Any, np.dtype[np.float16]]) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def read_predictions(path: Path, protocol: str) -> RoiPredictions | None:
    """Read an ROI's predictions under a protocol; return None if the file has none.

    Raises ValueError naming the file if it is damaged, FileNotFoundError if it does not exist.
    """
    try:
        table = read_parquet(path)
        about = parse(About, (table.schema.metadata or {}).get(ABOUT, b""))
        if (about.trial.id, about.roi.id) != (path.parent.name, path.stem):
            raise ValueError(f"it records {about.trial.id} on {about.roi.id}")
        if protocol not in about.layers:
            return None
        vertex = np.array(about.vertices, np.int32)
        flat = table[protocol].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return RoiPredictions(
            about.roi,
            about.layers[protocol],
            table["index"].to_numpy(),
            vertex,
            flat.reshape(len(table), len(vertex)),
        )
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise Denied.of(path, error) from error
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise ValueError(
            f"{path}: not a readable prediction file ({error}); remove it, and the scores of "
            "the same name, and run the sweep again"
        ) from error
