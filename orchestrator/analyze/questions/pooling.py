"""Pooled models against models of one subject, and against models of other subjects, ROI by ROI.

Paper: pooled-avg and pooled-const against the single-subject models and cross-subject means.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs, Missing
from orchestrator.scores.references import join_untuned, references
from orchestrator.scores.rows import ROI_COLUMNS, method_order, roi_weights
from orchestrator.scores.score_table import ScoreTable
from orchestrator.scores.statistics.hierarchical_interval import mean_uncertainty
from orchestrator.scores.statistics.model_differences import (
    Model,
    ModelDifferences,
    measure_models,
)
from orchestrator.scores.statistics.roi_differences import RoiDifference, average
from trainables.spec.labels import method_of

POOLED: Final = ("pooled-avg", "pooled-const")
TRANSFER: Final = "transfer-"
SINGLE: Final = "contrastive"
CROSS: Final = f"{TRANSFER}{SINGLE}"
OTHERS: Final = ("single", "cross_subject")
OF_ROI: Final = ("subject", "hemisphere", "roi")
"""Columns that are null in the rows of groups."""
DIFFERENCE: Final = {
    "difference": pa.float64(),
    "low": pa.float64(),
    "high": pa.float64(),
    "covers_subjects": pa.bool_(),
    "covers_seeds": pa.bool_(),
}
SCHEMA = pa.schema(
    [
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("reference", pa.string()),
        *(pa.field(name, pa.string(), nullable=name in OF_ROI) for name in ROI_COLUMNS),
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
        *(
            pa.field(f"{name}_{other}", kind)
            for other in OTHERS
            for name, kind in DIFFERENCE.items()
        ),
    ]
)
"""One row per ROI, setting of a pooled method, and setting of contrastive models with its backbone
and encoding (reference; null without any); each r is a mean over the ROI's vertices, then over
seeds. r_single: the contrastive model of the ROI; r_cross_subject: mean over the n_models
contrastive models of other subjects. share_better: of the vertices, those with a higher r than
untuned; …_single, …_cross_subject: of the same models. n_pooled: subjects that the pooled model was
fine-tuned on. difference_…: r minus that of the other models, low_…, high_…: its 95 % interval, as
of ``improvement``; null where predictions are missing. Rows without subject and roi are means over
the ROIs of a group that a pooled model and models of one subject scored: over a subject's, then
over subjects."""


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
    compared = [
        (label, reference)
        for label in untuned
        if method_of(label) in POOLED
        for reference in (*settings[label], *([] if settings[label] else [None]))
    ]
    measured = measure_models(
        table,
        [pair for label, reference in compared for pair in _pairs(models, label, reference)],
        inputs.runs,
        inputs.data,
    )
    parts = [
        with_differences(_of_setting(models, label, untuned[label], reference), models, measured)
        for label, reference in compared
    ]
    rows = pd.concat(parts) if parts else pd.DataFrame(columns=SCHEMA.names)
    return rows.assign(protocol=protocol)


def _pairs(
    models: pd.DataFrame, label: str, reference: str | None
) -> Iterator[tuple[Model, Model]]:
    """Yield each pooled model with each model of one subject of a setting, on the same ROI."""
    pooled = models[models["method"] == label]
    singles = models[models["method"].isin(_labels_of(reference))]
    both = pooled.merge(singles, on="roi_id", suffixes=("_pooled", ""))
    columns = both[["trained_on_pooled", "method", "trained_on"]].drop_duplicates()
    for pool, method, source in columns.itertuples(index=False, name=None):
        yield (label, pool), (method, source)


def _labels_of(reference: str | None) -> list[str]:
    """Name the labels of OTHERS: a setting's own models, and its models of other subjects."""
    return [] if reference is None else [reference, TRANSFER + reference]


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


def with_differences(
    rows: pd.DataFrame, models: pd.DataFrame, measured: ModelDifferences
) -> pd.DataFrame:
    """Add the differences from other models to the ROIs of a pooled setting, and rows of groups."""
    if rows.empty:
        return rows
    rows = rows.set_index("roi_id", drop=False)
    known = {other: _measured(rows, models, measured, other) for other in OTHERS}
    groups = [
        pd.DataFrame([_of_rois(rows.loc[[roi]], known) for roi in rows.index], rows.index),
        *(
            pd.DataFrame([{**_mean_of(part), **_of_rois(part, known)}])
            for _, part in rows.groupby(["dataset", "group"], sort=False)
        ),
    ]
    return pd.concat([rows.join(groups[0]), *groups[1:]])


def _measured(
    rows: pd.DataFrame, models: pd.DataFrame, measured: ModelDifferences, other: str
) -> dict[str, RoiDifference]:
    """Return what is known of the difference in each ROI, averaged over the other models."""
    reference = rows["reference"].iloc[0]
    label = dict(zip(OTHERS, _labels_of(reference), strict=False)).get(other)
    sources = models[models["method"] == label].groupby("roi_id")["trained_on"].unique()
    found = {}
    for roi, method, pool in rows[["roi_id", "method", "trained_on"]].itertuples(index=False):
        others = [(str(label), str(source)) for source in sources.get(roi, ())]
        several = [measured.of((method, pool), one, roi) for one in others]
        complete = [one for one in several if one is not None]
        if complete and len(complete) == len(several):
            found[roi] = average(complete)
    return found


def _mean_of(rows: pd.DataFrame) -> dict[str, Any]:
    """Average the numbers of a group's ROIs; counts are summed."""
    paired = rows.dropna(subset=["r_single"])
    used = rows if paired.empty else paired
    weights = roi_weights(used)
    names = [name for name in used.columns if name.startswith(("r_", "share_")) or name == "r"]
    means = {
        name: float((used[name] * weights).sum()) if used[name].notna().all() else None
        for name in names
    }
    kept = {name: rows[name].iloc[0] for name in ("method", "reference", "dataset", "group")}
    counts = {"n_vertices": used["n_vertices"].sum(), "n_pooled": used["n_pooled"].max()}
    return {**kept, **means, **counts}


def _of_rois(
    rows: pd.DataFrame, known: Mapping[str, Mapping[str, RoiDifference]]
) -> dict[str, Any]:
    """Return the differences from OTHERS over ROIs, with intervals where all are known."""
    found: dict[str, Any] = {}
    for other in OTHERS:
        paired = rows.dropna(subset=[f"r_{other}"])
        weights = roi_weights(paired)
        rois = [known[other][roi] for roi in paired["roi_id"] if roi in known[other]]
        middle = float(((paired["r"] - paired[f"r_{other}"]) * weights).sum())
        columns: dict[str, Any] = dict.fromkeys(DIFFERENCE)
        if len(paired):
            columns["difference"] = middle
        if rois and len(rois) == len(paired):
            one = mean_uncertainty(rois, weights.tolist())
            columns |= {"low": middle - one.half_width, "high": middle + one.half_width}
            columns |= {"covers_subjects": one.covers_subjects, "covers_seeds": one.covers_seeds}
        found |= {f"{name}_{other}": value for name, value in columns.items()}
    return found


ANALYSIS = Analysis(
    name="pooling",
    question="Does pooling subjects predict better than a subject's own model?",
    schema=SCHEMA,
    make=make,
    sources=Inputs.score_and_prediction_files,
    version=4,
)
