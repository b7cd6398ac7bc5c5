"""Lateralisation of saliency of the backbones of early ROIs, by hemisphere.

The paper shows Grad-CAM maps; the index and its mirror control are ours. A backbone that prefers a
side prefers it in mirrored images too, whereas an effect of the images changes sign. Half the sum
of both is therefore the backbone's bias, and only the bias is compared.
"""

import zlib
from collections.abc import Sequence
from typing import Any

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
from orchestrator.analyze.questions.classification import CURE
from trainables.probes.probe import ProbeRecord
from trainables.probes.saliency_fields import EXAMPLE

KIND = "saliency"
N_DRAWS = 2000
LEVEL = 0.95
BLOCK = 1 << 16
"""Random indices at once: they and the values that they choose fit a core's cache."""
SCHEMA = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("layer", pa.string(), nullable=False),
        pa.field("saliency_layer", pa.string(), nullable=False),
        *BACKBONE_FIELDS,
        *(
            pa.field(f"{name}{end}", pa.float64())
            for name in ("index", "mirrored", "bias", "bias_change")
            for end in ("", "_low", "_high")
        ),
        pa.field("n_images", pa.int32(), nullable=False),
        pa.field("n_without_mass", pa.int32(), nullable=False),
        pa.field("mean_map", pa.list_(pa.list_(pa.float64())), nullable=False),
        pa.field("examples", pa.list_(EXAMPLE), nullable=False),
    ]
)
"""layer: the one whose features are classified; saliency_layer: the one that Grad-CAM weighs.
index: mean left-minus-right share of Grad-CAM's mass over test images; mirrored: of their mirror
images; bias: half their sum; bias_change: bias minus the untuned backbone's, paired over images.
low, high: 95 % interval, 2,000 bootstrap draws of images. n_images: those with mass in both.
examples: a few test images, the same ones for all backbones; the untuned one has the images."""

Values = np.ndarray[Any, np.dtype[np.float64]]


def make(inputs: Inputs) -> pa.Table:
    """Tabulate the lateralisation of every probed backbone, with intervals over images."""
    rows = []
    found = read_records(inputs, KIND, CURE)
    labels = labels_among(found)
    for (task, _, layer), records in by_task(found):
        for looked_at, alike in _by_saliency_layer(records).items():
            untuned = [one for one in alike if not one.probed.is_finetuned]
            reference = _read(untuned[0]) if len(untuned) == 1 else None
            place = {"task": task, "layer": layer, "saliency_layer": looked_at}
            rows += [
                {**place, **describe(one.probed, labels), **_row(one, reference)} for one in alike
            ]
    return as_table(rows, SCHEMA)


def _by_saliency_layer(records: Sequence[ProbeRecord]) -> dict[str, list[ProbeRecord]]:
    groups: dict[str, list[ProbeRecord]] = {}
    for record in records:
        groups.setdefault(record.inputs["saliency_layer"], []).append(record)
    return groups


def _row(record: ProbeRecord, reference: Values | None) -> dict[str, Any]:
    own = _read(record)
    both = own[~np.isnan(own).any(axis=1)]
    numbers: dict[str, Any] = {}
    numbers |= _interval("index", both[:, 0], record)
    numbers |= _interval("mirrored", both[:, 1], record)
    numbers |= _interval("bias", both.mean(axis=1), record)
    if record.probed.is_finetuned and reference is not None:
        change = own.mean(axis=1) - reference.mean(axis=1)
        numbers |= _interval("bias_change", change[~np.isnan(change)], record)
    return {
        **numbers,
        "n_images": len(both),
        "n_without_mass": record.numbers["n_without_mass"],
        "mean_map": record.numbers["mean_map"],
        "examples": [one for one in _columns(record)["example"].to_pylist() if one is not None],
    }


def _read(record: ProbeRecord) -> Values:
    """Read both indices of each image: (n_images, 2), NaN where there is no mass."""
    rows = _columns(record)
    columns: Sequence[Values] = [
        rows[name].to_numpy() for name in ("lateralisation", "lateralisation_mirrored")
    ]
    return np.stack(columns, axis=1)


def _columns(record: ProbeRecord) -> pa.Table:
    names = ("lateralisation", "lateralisation_mirrored", "example")
    return read_columns(record, names, "saliency")


def _interval(name: str, values: Values, record: ProbeRecord) -> dict[str, float]:
    """Return the mean of values (n,) and its bootstrap interval; empty without values."""
    if not len(values):
        return {}
    generator = np.random.default_rng([0, zlib.crc32(f"{record.probed.id} {name}".encode())])
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draw_means(values, generator), [tail, 1 - tail])
    return {name: float(values.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


def draw_means(values: Values, generator: np.random.Generator, n_draws: int = N_DRAWS) -> Values:
    """Draw means of values (n,), resampled with replacement: (n_draws,)."""
    size = max(1, BLOCK // len(values))
    parts = [
        values.take(generator.integers(len(values), size=(min(size, n_draws - start), len(values))))
        for start in range(0, n_draws, size)
    ]
    return np.concatenate([part.mean(axis=1) for part in parts])


ANALYSIS = Analysis(
    name="saliency",
    question="Which side of images do the backbones of each hemisphere use?",
    schema=SCHEMA,
    make=make,
    sources=lambda inputs: inputs.probe_files(KIND),
    probes=("classification", KIND),
    version=4,
)
