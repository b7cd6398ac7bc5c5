"""A map of all backbones by how they classify: Bhattacharyya dissimilarities, intensive PCA.

Paper: the model landscape, with the untuned backbone and an oracle, which is always right, as
reference points. Chance, which gives all classes the same probability, is ours; it is placed on the
axes of the others and does not change them.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.analyze.analysis import Analysis, Inputs
from orchestrator.analyze.backbone_columns import (
    BACKBONE_FIELDS,
    as_table,
    by_task,
    check_columns,
    describe,
    labels_among,
    read_columns,
    read_records,
)
from orchestrator.analyze.model_groups import model_group_of
from orchestrator.analyze.questions.bhattacharyya import Array, embed, log_one_hot, place
from orchestrator.analyze.questions.classification import CURE, KIND
from orchestrator.analyze.questions.model_distances import Known, Stream, compare_all
from trainables.probes.probe import ProbeRecord
from trainables.storage.atomic import VERIFIED, read_parquet

ORACLE: Final = "oracle"
CHANCE: Final = "chance"
N_AXES: Final = 5
BUFFER: Final = 1 << 18
"""Bytes of a file that are read ahead."""
SCHEMA = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        *BACKBONE_FIELDS,
        pa.field("model_group", pa.string()),
        pa.field("key", pa.string(), nullable=False),
        pa.field("accuracy", pa.float64(), nullable=False),
        pa.field("to_untuned", pa.float64()),
        pa.field("to_oracle", pa.float64(), nullable=False),
        pa.field("coordinates", pa.list_(pa.float64()), nullable=False),
        pa.field("signs", pa.list_(pa.float64()), nullable=False),
        pa.field("eigenvalues", pa.list_(pa.float64()), nullable=False),
        pa.field("stress", pa.list_(pa.float64()), nullable=False),
        pa.field("dissimilarities", pa.list_(pa.float64()), nullable=False),
    ]
)
"""One row per model; the last two are the oracle and chance. key: the file of its
log-probabilities. model_group: orchestrator/analyze/model_groups.py; null if not fine-tuned.
to_untuned, to_oracle: dissimilarities, nats per image. coordinates: on the first axes, of which
those with sign −1 are imaginary; chance is placed on the axes of the others. stress: explained by
the first 1, 2 … axes. dissimilarities: to every model of the task, in the order of the rows."""


def make(inputs: Inputs) -> pa.Table:
    """Compare all backbones that were probed on one task, and embed them.

    Pairs of models in an earlier table are not computed again.
    """
    known = _known(inputs)
    rows: list[dict[str, Any]] = []
    found = read_records(inputs, KIND, CURE)
    names = labels_among(found)
    for (task, data, _), records in by_task(found):
        described = [describe(one.probed, names) for one in records]
        rows += [{"task": task, **row} for row in _lay_out(records, described, data, known)]
    return as_table(rows, SCHEMA)


def _lay_out(
    records: Sequence[ProbeRecord], backbones: Sequence[dict[str, Any]], data: str, known: Known
) -> list[dict[str, Any]]:
    """Compare and embed the models of one task. backbones: BACKBONE_FIELDS of each."""
    labels, n_classes = _labels(records[0])
    keys = [*(one.path.name for one in records), f"{ORACLE}-{data}", f"{CHANCE}-{data}"]
    described = [
        {**backbone, "accuracy": one.numbers["accuracy"], "model_group": _group(backbone)}
        for backbone, one in zip(backbones, records, strict=True)
    ]
    described += [_reference(ORACLE, 1.0), _reference(CHANCE, 1 / n_classes)]
    certain = log_one_hot(labels, n_classes)
    points = (certain, np.full(certain.shape, -np.log(n_classes)))
    models: list[Stream] = [_reader(one) for one in records]
    models += [partial(_in_pieces, one) for one in points]
    D = compare_all(keys, models, known, certain.shape)
    found = embed(D[:-1, :-1])
    coordinates = np.vstack([found.coordinates, place(D[-1:, :-1], found)])
    untuned = [k for k, one in enumerate(records) if not one.probed.is_finetuned]
    shared = {
        "signs": found.signs[:N_AXES],
        "eigenvalues": found.eigenvalues,
        "stress": found.stress[:N_AXES],
    }
    return [
        {
            **described[k],
            **shared,
            "key": keys[k],
            "to_untuned": D[k, untuned[0]] if len(untuned) == 1 else None,
            "to_oracle": D[k, -2],
            "coordinates": coordinates[k, :N_AXES],
            "dissimilarities": D[k],
        }
        for k in range(len(described))
    ]


def _group(backbone: dict[str, Any]) -> str | None:
    is_finetuned = backbone["roi"] is not None
    return model_group_of(backbone["roi"], backbone["hemisphere"]) if is_finetuned else None


def _reference(name: str, accuracy: float) -> dict[str, Any]:
    """Describe a reference point that is no backbone."""
    fields = dict.fromkeys(field.name for field in BACKBONE_FIELDS)
    named = {"backbone": name, "method": name}
    return {**fields, **named, "accuracy": accuracy, "model_group": None}


def _in_pieces(matrix: Array, size: int) -> Iterator[Array]:
    return (matrix[start : start + size] for start in range(0, len(matrix), size))


def _reader(record: ProbeRecord) -> Stream:
    return lambda size: _log_probabilities(record, size)


def _log_probabilities(record: ProbeRecord, size: int) -> Iterator[Array]:
    """Read a model's log-probabilities, ``size`` images at a time: (images, classes) each."""
    columns = ["log_probabilities"]
    if record.numbers["n_test"] <= size:  # one that is read at once is closed before the next
        yield _as_matrix(read_columns(record, columns, "landscape")[columns[0]].combine_chunks())
        return
    check_columns(record, columns, "landscape")
    with pq.ParquetFile(record.path, buffer_size=BUFFER, **VERIFIED) as file:
        for batch in file.iter_batches(size, columns=columns):
            yield _as_matrix(batch[columns[0]])


def _as_matrix(column: pa.Array) -> Array:
    flat: Array = column.flatten().to_numpy()
    return flat.reshape(len(column), -1)


def _labels(record: ProbeRecord) -> tuple["np.ndarray[Any, np.dtype[np.int64]]", int]:
    labels = read_parquet(record.path, ["label"])["label"].to_numpy().astype(np.int64)
    return labels, int(record.numbers["n_classes"])


def _known(inputs: Inputs) -> Known:
    """Read the matrices of the last table, one per task; none where it is absent or damaged."""
    path = inputs.result_file("landscape")
    try:
        rows = read_parquet(path, ["task", "key", "dissimilarities"]).to_pandas()
    except (OSError, KeyError, pa.ArrowInvalid):
        return []
    found = []
    for _, part in rows.groupby("task"):
        if set(part["dissimilarities"].map(len)) == {len(part)}:
            found.append((part["key"].tolist(), np.stack(part["dissimilarities"].tolist())))
    return found


ANALYSIS = Analysis(
    name="landscape",
    question="How differently do the backbones classify, and along which directions?",
    schema=SCHEMA,
    make=make,
    sources=lambda inputs: inputs.probe_files(KIND),
    probes=(KIND,),
    version=4,
)
