"""How well each backbone classifies images: a linear classifier on its frozen features.

Paper: fine-tuned backbones lose accuracy (ImageNet 45.8 % untuned, about 37 % contrastive early).
"""

from collections.abc import Iterator, Sequence
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
from orchestrator.analyze.questions.accuracy_groups import Classified, group_rows, reference_of

KIND = "classification"
CURE = (
    "ingest a task by python -m orchestrator.ingest task SRC --out DATA --name NAME, then run "
    "python -m orchestrator.analyze classification --out RUNS"
)
SCHEMA = pa.schema(
    [
        pa.field("level", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("layer", pa.string(), nullable=False),
        *(field.with_nullable(True) for field in BACKBONE_FIELDS),
        pa.field("model_group", pa.string()),
        pa.field("accuracy", pa.float64(), nullable=False),
        pa.field("difference", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("covers_subjects", pa.bool_()),
        pa.field("covers_seeds", pa.bool_()),
        pa.field("top5", pa.float64()),
        pa.field("log_loss", pa.float64()),
        pa.field("n_test", pa.int32(), nullable=False),
        pa.field("n_classes", pa.int32(), nullable=False),
        pa.field("n_backbones", pa.int32(), nullable=False),
        pa.field("n_subjects", pa.int32()),
        pa.field("converged", pa.bool_()),
    ]
)
"""level: ``group``, a row per method and group of ROIs (orchestrator/analyze/model_groups.py), the
mean over the backbones of a subject, then over subjects; or ``backbone``. difference: accuracy
minus the untuned backbone's; null unless exactly one untuned backbone was probed. low, high: of a
group's difference, 95 % interval over what covers_subjects and covers_seeds say, and over test
images. log_loss: nats."""


def make(inputs: Inputs) -> pa.Table:
    """Tabulate the accuracy of backbones' classifiers on test images, and that of groups."""
    rows = []
    for (task, _, layer), probed in _probed_by_task(inputs):
        place = {"task": task, "layer": layer}
        rows += [{**place, **one} for one in group_rows(probed, reference_of(probed))]
        rows += [{**place, **one} for one in _backbone_rows(probed)]
    return as_table(rows, SCHEMA)


def read_accuracies(inputs: Inputs) -> pa.Table:
    """Tabulate the accuracy of every backbone: the rows of level ``backbone``."""
    rows = [
        {"task": task, "layer": layer, **one}
        for (task, _, layer), probed in _probed_by_task(inputs)
        for one in _backbone_rows(probed)
    ]
    return as_table(rows, SCHEMA)


def _probed_by_task(inputs: Inputs) -> Iterator[tuple[tuple[str, str, str], list[Classified]]]:
    found = read_records(inputs, KIND, CURE)
    labels = labels_among(found)
    for key, records in by_task(found):
        yield key, [Classified(one, describe(one.probed, labels)) for one in records]


def _backbone_rows(probed: Sequence[Classified]) -> Iterator[dict[str, Any]]:
    untuned = reference_of(probed)
    for one in probed:
        numbers = one.record.numbers
        measured = ("accuracy", "top5", "log_loss", "n_test", "n_classes", "converged")
        yield {
            **one.place,
            **{name: numbers.get(name) for name in measured},
            "level": "backbone",
            "model_group": one.group,
            "difference": None if untuned is None else one.accuracy - untuned.accuracy,
            "n_backbones": 1,
        }


ANALYSIS = Analysis(
    name="classification",
    question="How well does each backbone still classify images?",
    schema=SCHEMA,
    make=make,
    sources=lambda inputs: inputs.probe_files(KIND),
    probes=(KIND,),
    version=3,
)
