"""Pooled models against models of one subject, and against models of other subjects, ROI by ROI.

Paper: pooled-avg and pooled-const against the single-subject models and cross-subject means.
"""

from collections.abc import Sequence
from typing import Final

import pandas as pd
import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs, Missing
from orchestrator.scores.references import join_untuned, references
from orchestrator.scores.rows import ROI_COLUMNS, method_order
from orchestrator.scores.score_table import ScoreTable
from trainables.spec.labels import method_of

POOLED: Final = ("pooled-avg", "pooled-const")
TRANSFER: Final = "transfer-"
SINGLE: Final = "contrastive"
CROSS: Final = f"{TRANSFER}{SINGLE}"
SCHEMA = pa.schema(
    [
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("reference", pa.string()),
        *(pa.field(name, pa.string(), nullable=False) for name in ROI_COLUMNS),
        pa.field("r", pa.float64(), nullable=False),
        pa.field("r_untuned", pa.float64()),
        pa.field("r_single", pa.float64()),
        pa.field("r_cross_subject", pa.float64()),
        pa.field("share_better", pa.float64()),
        pa.field("share_better_single", pa.float64()),
        pa.field("share_better_cross_subject", pa.float64()),
        pa.field("n_models", pa.int32()),
        pa.field("n_vertices", pa.int32(), nullable=False),
        pa.field("n_pooled", pa.int32(), nullable=False),
    ]
)
"""One row per ROI, setting of a pooled method, and setting of contrastive models with its backbone
and encoding (reference; null without any); each r is a mean over the ROI's vertices, then over
seeds. r_single: the contrastive model of the ROI; r_cross_subject: mean over the n_models
contrastive models of other subjects. share_better: of the vertices, those with a higher r than
untuned; …_single, …_cross_subject: of the same models. n_pooled: subjects that the pooled model was
fine-tuned on."""


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
    keys = ["method", "trained_on", "roi_id", *ROI_COLUMNS]
    vertices = join_untuned(table.over_seeds, table)
    both = vertices["r"].notna() & vertices["r_untuned"].notna()
    vertices["better"] = (vertices["r"] > vertices["r_untuned"]).astype(float).where(both)
    by_roi = vertices.groupby(keys, observed=True, dropna=False).agg(
        mean=("r", "mean"), size=("r", "size"), better=("better", "mean")
    )
    models = by_roi.reset_index().astype(dict.fromkeys(keys, str))
    untuned, settings = references(table), _settings_of_one_subject(table)
    parts = [
        _of_setting(models, label, untuned[label], reference)
        for label in untuned
        if method_of(label) in POOLED
        for reference in (*settings[label], *([] if settings[label] else [None]))
    ]
    rows = pd.concat(parts) if parts else pd.DataFrame(columns=SCHEMA.names)
    return rows.assign(protocol=protocol)


def _settings_of_one_subject(table: ScoreTable) -> dict[str, list[str]]:
    """List, for each label, those of contrastive models with its backbone and encoding."""
    single, cross = references(table, SINGLE), references(table, CROSS)
    return {
        label: method_order(
            {*single.get(label, ()), *(one.removeprefix(TRANSFER) for one in cross.get(label, ()))}
        )
        for label in {**single, **cross}
    }


def _of_setting(
    models: pd.DataFrame, label: str, untuned: Sequence[str], reference: str | None
) -> pd.DataFrame:
    """Join the ROIs of a pooled setting with the r of other models of the same ROIs.

    models: one row per label, ROIs of the fine-tuning, and scored ROI.
    """
    pooled = models[models["method"] == label].dropna(subset=["mean"])
    names = {"mean": "r", "size": "n_vertices", "better": "share_better"}
    rows = pooled.rename(columns=names).assign(
        reference=reference, n_pooled=[len(one.split()) for one in pooled["trained_on"]]
    )
    others = {
        "r_untuned": untuned[0] if untuned else None,
        "r_single": reference,
        "r_cross_subject": reference and TRANSFER + reference,
    }
    for name, other in others.items():
        of_method = models[models["method"] == (other or "")].groupby("roi_id")
        rows[name] = rows["roi_id"].map(of_method["mean"].mean())
        if name != "r_untuned":
            better = of_method["better"].mean()
            rows[name.replace("r_", "share_better_", 1)] = rows["roi_id"].map(better)
        if name == "r_cross_subject":
            rows["n_models"] = rows["roi_id"].map(of_method["mean"].count()).astype("Int32")
    return rows


ANALYSIS = Analysis(
    name="pooling",
    question="Does pooling subjects predict better than a subject's own model?",
    schema=SCHEMA,
    make=make,
    version=3,
)
