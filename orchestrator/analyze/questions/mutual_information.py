"""Lower bound on the information of each contrastive model's embeddings about test responses.

Paper: the InfoNCE bound, with the test set as one batch. β from the training images is ours; the
paper's β, from the images that are reported, is optimistic.
"""

import math

import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs
from orchestrator.analyze.backbone_columns import (
    BACKBONE_FIELDS,
    as_table,
    describe,
    labels_among,
    read_records,
)

KIND = "information"
CURE = (
    "fine-tune contrastive or pooled models by python -m orchestrator.sweep SPACE --data DATA "
    "--out RUNS"
)
SCHEMA = pa.schema(
    [
        *BACKBONE_FIELDS,
        pa.field("n_test", pa.int32(), nullable=False),
        pa.field("temperature", pa.float64(), nullable=False),
        pa.field("beta_train", pa.float64(), nullable=False),
        pa.field("nats", pa.float64(), nullable=False),
        pa.field("bits", pa.float64(), nullable=False),
        pa.field("beta_test", pa.float64(), nullable=False),
        pa.field("nats_beta_test", pa.float64(), nullable=False),
        pa.field("bits_beta_test", pa.float64(), nullable=False),
        pa.field("ceiling_nats", pa.float64(), nullable=False),
        pa.field("ceiling_bits", pa.float64(), nullable=False),
    ]
)
"""One row per model and ROI; subject is the ROI's. nats, bits: with β from the training images;
…_beta_test: with β from the test images. ceiling: log of n_test, which no bound exceeds."""


def make(inputs: Inputs) -> pa.Table:
    """Tabulate the bounds of every model on each of its ROIs."""
    rows = []
    records = read_records(inputs, KIND, CURE)
    labels = labels_among(records)
    for record in records:
        rois = {roi.id: roi for roi in record.probed.model.rois}
        for found in record.rows().to_pylist():
            roi = rois[found["roi_id"]]
            rows.append(
                {
                    **describe(record.probed, labels),
                    **found,
                    "subject": roi.subject,
                    "bits": found["nats"] / math.log(2),
                    "bits_beta_test": found["nats_beta_test"] / math.log(2),
                    "ceiling_nats": found["ceiling"],
                    "ceiling_bits": found["ceiling"] / math.log(2),
                }
            )
    return as_table(rows, SCHEMA)


ANALYSIS = Analysis(
    name="mutual_information",
    question="How much information, at least, do the embeddings have about the responses?",
    schema=SCHEMA,
    make=make,
    sources=lambda inputs: inputs.probe_files(KIND),
    probes=(KIND,),
    version=2,
)
