"""Batches as rows of Ray Data: pixels, then predictions, as bytes that are not copied."""

import json
import socket
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from orchestrator.predict.image_batches import ImageBatch
from orchestrator.predict.passes import PredictedBatch

_NOTHING = np.empty(0, np.uint8)


def images_row(batch: ImageBatch) -> pa.Table:
    """Make the row of some images."""
    return _row(batch.rows, batch.pixels.numpy(), batch.problems)


def predictions_row(batch: PredictedBatch) -> pa.Table:
    """Make the row of some images' predictions."""
    flat = [one.reshape(-1) for of_models in batch.predicted for one in of_models]
    return _row(batch.rows, np.concatenate(flat), batch.problems)


def error_row(rows: range, error: Exception) -> pa.Table:
    """Make the row of a batch that has failed, with the name of this node."""
    return _row(rows, _NOTHING, {}, f"{error} (on {socket.gethostname()})")


def is_error(row: pa.Table) -> bool:
    """Return whether a batch has failed."""
    return bool(row["error"][0].is_valid)


def rows_of(row: pa.Table) -> range:
    """Return the rows of a batch in the output."""
    return range(row["start"][0].as_py(), row["stop"][0].as_py())


def read_images_row(row: pa.Table, size: int) -> ImageBatch:
    """Read what :func:`images_row` made; the pixels can't be written to."""
    rows = rows_of(row)
    pixels = _values(row, np.uint8).reshape(len(rows), 3, size, size)
    with warnings.catch_warnings(action="ignore"):  # torch's, of tensors that can't be written to
        return ImageBatch(rows, torch.from_numpy(pixels), _problems(row))


def read_predictions_row(row: pa.Table, widths: Sequence[Sequence[int]]) -> PredictedBatch:
    """Read what :func:`predictions_row` made; raise ValueError for a batch that has failed.

    widths: the number of vertices by backbone and model.
    """
    if is_error(row):
        raise ValueError(row["error"][0].as_py())
    rows = rows_of(row)
    flat = [width for of_models in widths for width in of_models]
    ends = np.cumsum([len(rows) * width for width in flat])
    pieces = iter(np.split(_values(row, np.float32), ends[:-1]))
    predicted = [[next(pieces).reshape(len(rows), w) for w in of_models] for of_models in widths]
    return PredictedBatch(rows, predicted, _problems(row))


def _row(
    rows: range,
    values: "np.ndarray[Any, Any]",
    problems: dict[int, str],
    error: str | None = None,
) -> pa.Table:
    offsets = pa.py_buffer(np.array([0, values.nbytes], np.int64))
    content = pa.py_buffer(np.ascontiguousarray(values))
    return pa.table(
        {
            "start": [rows.start],
            "stop": [rows.stop],
            "values": pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, content]),
            "problems": [json.dumps(problems)],
            "error": pa.array([error], pa.string()),
        }
    )


def _values(row: pa.Table, dtype: type[np.generic]) -> "np.ndarray[Any, Any]":
    return np.frombuffer(row["values"][0].as_buffer(), dtype)


def _problems(row: pa.Table) -> dict[int, str]:
    return {int(k): text for k, text in json.loads(row["problems"][0].as_py()).items()}
