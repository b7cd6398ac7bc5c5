"""A map of all backbones by how they classify: Bhattacharyya dissimilarities, intensive PCA.

Paper: the model landscape, with the untuned backbone and an oracle, which is always right, as
reference points. Chance, which gives all classes the same probability, is ours; it is placed on the
axes of the others and does not change them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs
from orchestrator.analyze.backbone_columns import (
    BACKBONE_FIELDS,
    as_table,
    by_task,
    describe,
    labels_among,
    read_columns,
    read_records,
)
from orchestrator.analyze.model_groups import model_group_of
from orchestrator.analyze.questions.bhattacharyya import (
    Array,
    dissimilarities,
    embed,
    log_one_hot,
    place,
)
from orchestrator.analyze.questions.classification import CURE, KIND
from trainables.probes.probe import ProbeRecord
from trainables.storage.atomic import read_parquet

ORACLE: Final = "oracle"
CHANCE: Final = "chance"
N_AXES: Final = 5
AT_ONCE: Final = 24
"""Models in memory at once, twice."""
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

Known = Mapping[tuple[str, str], float]


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
    D = compare_all(
        keys,
        [
            *map(_reader, records),
            lambda: log_one_hot(labels, n_classes),
            lambda: np.full((len(labels), n_classes), -np.log(n_classes)),
        ],
        known,
    )
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


def compare_all(keys: Sequence[str], read: Sequence[Callable[[], Array]], known: Known) -> Array:
    """Fill the matrix of dissimilarities, reading only models with an unknown pair.

    keys: of each model. read: read its log-probabilities. Returns (n, n), symmetric, zero diagonal.
    """
    n = len(keys)
    D = np.full((n, n), np.nan)
    np.fill_diagonal(D, 0.0)
    for (a, b), value in known.items():
        if a in keys and b in keys:
            D[keys.index(a), keys.index(b)] = D[keys.index(b), keys.index(a)] = value
    due = [k for k in range(n) if np.isnan(D[k]).any()]
    for start in range(0, len(due), AT_ONCE):
        rows = due[start : start + AT_ONCE]
        own = [read[k]() for k in rows]
        for first in range(0, n, AT_ONCE):
            columns = [
                k for k in range(first, min(n, first + AT_ONCE)) if np.isnan(D[rows, k]).any()
            ]
            if columns:
                block = dissimilarities(own, [read[k]() for k in columns])
                D[np.ix_(rows, columns)] = block
                D[np.ix_(columns, rows)] = block.T
    np.fill_diagonal(D, 0.0)
    return D


def _reader(record: ProbeRecord) -> Callable[[], Array]:
    return lambda: _log_probabilities(record)


def _log_probabilities(record: ProbeRecord) -> Array:
    table = read_columns(record, ["log_probabilities"], "landscape")
    column = table["log_probabilities"].combine_chunks()
    flat: Array = column.flatten().to_numpy()
    return flat.reshape(len(column), -1)


def _labels(record: ProbeRecord) -> tuple["np.ndarray[Any, np.dtype[np.int64]]", int]:
    labels = read_parquet(record.path, ["label"])["label"].to_numpy().astype(np.int64)
    return labels, int(record.numbers["n_classes"])


def _known(inputs: Inputs) -> Known:
    """Read the pairs of the last table; none where it is absent or damaged."""
    path = inputs.result_file("landscape")
    try:
        rows = read_parquet(path, ["task", "key", "dissimilarities"]).to_pylist()
    except (OSError, KeyError, pa.ArrowInvalid):
        return {}
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        keys = [other["key"] for other in rows if other["task"] == row["task"]]
        if len(keys) == len(row["dissimilarities"]):
            found |= {(row["key"], k): d for k, d in zip(keys, row["dissimilarities"], strict=True)}
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
