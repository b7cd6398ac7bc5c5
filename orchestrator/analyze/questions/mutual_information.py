"""Lower bound on the information of each contrastive model's embeddings about test responses.

Paper: the InfoNCE bound, with the test set as one batch, by the network in eval mode, in which
BatchNorm uses running statistics. Those of the batch, as in training, are ours, and so is β from
the training images; the paper's β, from the images that are reported, is optimistic.
"""

import math
from typing import Any

import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs
from orchestrator.analyze.backbone_columns import (
    BACKBONE_FIELDS,
    as_table,
    describe,
    labels_among,
    read_columns,
    read_records,
)

KIND = "information"
CURE = (
    "fine-tune contrastive or pooled models by python -m orchestrator.sweep SPACE --data DATA "
    "--out RUNS"
)
ENDINGS = ("", "_running")
"""Of columns: BatchNorm by the statistics of the batch, and by its running statistics."""
BOUND_FIELDS = ("beta_train", "nats", "bits", "beta_test", "nats_beta_test", "bits_beta_test")
SCHEMA = pa.schema(
    [
        *BACKBONE_FIELDS,
        pa.field("n_test", pa.int32(), nullable=False),
        pa.field("temperature", pa.float64(), nullable=False),
        *(
            pa.field(f"{name}{ending}", pa.float64(), nullable=False)
            for ending in ENDINGS
            for name in BOUND_FIELDS
        ),
        pa.field("ceiling_nats", pa.float64(), nullable=False),
        pa.field("ceiling_bits", pa.float64(), nullable=False),
    ]
)
"""One row per model and ROI; subject is the ROI's. nats, bits: with β from the training images;
…_beta_test: with β from the test images. …_running: of embeddings by BatchNorm's running
statistics. ceiling: log of n_test, which no bound exceeds."""
PROBED = (
    *("roi_id", "n_test", "temperature", "ceiling"),
    *(f"{name}{ending}" for ending in ENDINGS for name in BOUND_FIELDS if "bits" not in name),
)
"""Columns of a probe's result."""


def make(inputs: Inputs) -> pa.Table:
    """Tabulate the bounds of every model on each of its ROIs."""
    rows = []
    records = read_records(inputs, KIND, CURE)
    labels = labels_among(records)
    for record in records:
        rois = {roi.id: roi for roi in record.probed.model.rois}
        for found in read_columns(record, PROBED, "mutual_information").to_pylist():
            subject = rois[found["roi_id"]].subject
            rows.append({**describe(record.probed, labels), **_in_bits(found), "subject": subject})
    return as_table(rows, SCHEMA)


def _in_bits(found: dict[str, Any]) -> dict[str, Any]:
    """Add the bounds and the ceiling in bits to a probe's row."""
    found = {**found, "ceiling_nats": found["ceiling"]}
    names = [name for name in found if name.startswith("nats") or name == "ceiling_nats"]
    return found | {name.replace("nats", "bits"): found[name] / math.log(2) for name in names}


ANALYSIS = Analysis(
    name="mutual_information",
    question="How much information, at least, do the embeddings have about the responses?",
    schema=SCHEMA,
    make=make,
    sources=lambda inputs: inputs.probe_files(KIND),
    probes=(KIND,),
    version=3,
)
