"""Pooled models against models of one subject, and against models of other subjects, ROI by ROI.

Paper: pooled-avg and pooled-const against the single-subject models and cross-subject means.
"""

from typing import Final

import pandas as pd
import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs, Missing
from orchestrator.scores.rows import ROI_COLUMNS

POOLED: Final = ("pooled-avg", "pooled-const")
OTHERS: Final = {
    "r_untuned": "untuned",
    "r_single": "contrastive",
    "r_cross_subject": "transfer-contrastive",
}
SCHEMA = pa.schema(
    [
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in ROI_COLUMNS),
        pa.field("r", pa.float64(), nullable=False),
        *(pa.field(name, pa.float64()) for name in OTHERS),
        pa.field("n_models", pa.int32()),
        pa.field("n_vertices", pa.int32(), nullable=False),
        pa.field("n_pooled", pa.int32(), nullable=False),
    ]
)
"""One row per ROI and pooled method, each r a mean over the ROI's vertices. r_single: the
contrastive model of the ROI; r_cross_subject: mean over the n_models contrastive models of other
subjects. n_pooled: subjects that the pooled model was fine-tuned on."""


def make(inputs: Inputs) -> pa.Table:
    """Join each ROI's pooled score with the others'; Missing without pooled models."""
    parts = [_of_protocol(inputs, protocol) for protocol in inputs.protocols]
    rows = pd.concat(parts, ignore_index=True)
    if rows.empty:
        raise Missing(
            "no pooled model has been scored",
            inputs.sweep_command("pooled", weights=_is_of_a_file(inputs)),
        )
    return pa.Table.from_pandas(rows[SCHEMA.names], SCHEMA, preserve_index=False)


def _is_of_a_file(inputs: Inputs) -> bool:
    """Return whether the sweep's backbones started from a file of weights."""
    return any(one.backbone.weights.startswith("sha256:") for one in inputs.scores.trials.values())


def _of_protocol(inputs: Inputs, protocol: str) -> pd.DataFrame:
    table = inputs.of_protocol(protocol)
    keys = ["trial_id", "method", "roi_id", *ROI_COLUMNS]
    by_trial = table.vertices.groupby(keys, observed=True)["r"].agg(["mean", "size"]).reset_index()
    by_trial[keys] = by_trial[keys].astype(str)
    pooled = by_trial[by_trial["method"].isin(POOLED)].dropna(subset=["mean"])
    counts = {key: len(one.rois) for key, one in table.trials.items()}
    rows = pooled.rename(columns={"mean": "r", "size": "n_vertices"}).assign(
        protocol=protocol, n_pooled=pooled["trial_id"].map(counts)
    )
    for name, method in OTHERS.items():
        of_method = by_trial[by_trial["method"] == method].groupby("roi_id")["mean"]
        rows[name] = rows["roi_id"].map(of_method.mean())
        if name == "r_cross_subject":
            rows["n_models"] = rows["roi_id"].map(of_method.count()).astype("Int32")
    return rows


ANALYSIS = Analysis(
    name="pooling",
    question="Does pooling subjects predict better than a subject's own model?",
    schema=SCHEMA,
    make=make,
)
