"""How well each backbone classifies images: a linear classifier on its frozen features.

Paper: fine-tuned backbones lose accuracy (ImageNet 45.8 % untuned, about 37 % contrastive early).
"""

from typing import Any

import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs
from orchestrator.analyze.backbone_columns import (
    BACKBONE_FIELDS,
    as_table,
    by_task,
    describe,
    labels_among,
    read_records,
)
from trainables.probes.probe import ProbeRecord

KIND = "classification"
CURE = (
    "ingest a task by python -m orchestrator.ingest task SRC --out DATA --name NAME, then run "
    "python -m orchestrator.analyze classification --out RUNS"
)
SCHEMA = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("layer", pa.string(), nullable=False),
        *BACKBONE_FIELDS,
        pa.field("accuracy", pa.float64(), nullable=False),
        pa.field("top5", pa.float64()),
        pa.field("log_loss", pa.float64(), nullable=False),
        pa.field("accuracy_lost", pa.float64()),
        pa.field("n_test", pa.int32(), nullable=False),
        pa.field("n_classes", pa.int32(), nullable=False),
        pa.field("converged", pa.bool_(), nullable=False),
    ]
)
"""log_loss: nats. accuracy_lost: the untuned backbone's accuracy minus this one's; null
unless exactly one untuned backbone was probed."""


def make(inputs: Inputs) -> pa.Table:
    """Tabulate the accuracy of every backbone's classifier on the task's test images."""
    rows = []
    found = read_records(inputs, KIND, CURE)
    labels = labels_among(found)
    for (task, _, layer), records in by_task(found):
        untuned = [one.numbers["accuracy"] for one in records if not one.probed.is_finetuned]
        rows += [
            {
                **{"task": task, "layer": layer, **describe(one.probed, labels)},
                **_row(one, untuned[0] if len(untuned) == 1 else None),
            }
            for one in records
        ]
    return as_table(rows, SCHEMA)


def _row(record: ProbeRecord, untuned: float | None) -> dict[str, Any]:
    numbers = record.numbers
    lost = None if untuned is None else untuned - numbers["accuracy"]
    measured = {name: numbers.get(name) for name in ("accuracy", "top5", "log_loss")}
    counts = {name: numbers[name] for name in ("n_test", "n_classes", "converged")}
    return {**measured, **counts, "accuracy_lost": lost}


ANALYSIS = Analysis(
    name="classification",
    question="How well does each backbone still classify images?",
    schema=SCHEMA,
    make=make,
    sources=lambda inputs: inputs.probe_files(KIND),
    probes=(KIND,),
    version=2,
)
