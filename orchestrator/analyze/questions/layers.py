"""Which layer predicts which ROI: the mean encoding score of each (ROI, hemisphere, layer).

Paper: the layer × ROI matrix of the untuned backbone, averaged over the subjects that have the ROI.
"""

from collections.abc import Iterator

import pandas as pd
import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs
from orchestrator.scores.rows import ROI_COLUMNS, rois_of
from orchestrator.scores.score_table import ScoreTable

SCHEMA = pa.schema(
    [
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("hemisphere", pa.string(), nullable=False),
        pa.field("roi", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("layer", pa.string(), nullable=False),
        pa.field("place", pa.int32(), nullable=False),
        pa.field("r", pa.float64(), nullable=False),
        pa.field("n_subjects", pa.int32(), nullable=False),
        pa.field("n_models", pa.int32(), nullable=False),
        pa.field("n_chosen", pa.int32(), nullable=False),
    ]
)
"""place: position of the layer in the backbone, from 0. r: mean over vertices, then over the models
of a subject's ROI, then over subjects. n_models: pairs of a model and a subject's ROI that it
scores, of which n_chosen chose the layer."""

REGION = ["dataset", "hemisphere", "roi", "group"]


def make(inputs: Inputs) -> pa.Table:
    """Average r at every layer, for each method, ROI and hemisphere, and count its choices."""
    parts = [part for protocol in inputs.protocols for part in _of_protocol(inputs, protocol)]
    return pa.Table.from_pandas(pd.concat(parts), SCHEMA, preserve_index=False)


def _of_protocol(inputs: Inputs, protocol: str) -> Iterator[pd.DataFrame]:
    table = inputs.of_protocol(protocol)
    rois = rois_of(table.segments)
    model = ["trial_id", "method", "roi_id"]
    at_layers = table.at_layers().astype(dict.fromkeys(model, str))
    chosen = table.segments[[*model, "layer"]].astype(str)
    placed = at_layers.join(rois[list(ROI_COLUMNS)], on="roi_id").merge(
        chosen, on=model, how="left", suffixes=("", "_chosen"), validate="many_to_one"
    )
    placed["is_chosen"] = placed["layer"] == placed["layer_chosen"]
    keys = ["method", *REGION, "layer"]
    # An ROI that several models score has the weight of one.
    of_rois = (
        placed.groupby([*keys, "roi_id"], sort=False)
        .agg(r=("r", "mean"), n_models=("trial_id", "nunique"), n_chosen=("is_chosen", "sum"))
        .reset_index()
    )
    means = (
        of_rois.groupby(keys, sort=False)
        .agg(
            r=("r", "mean"),
            n_subjects=("roi_id", "nunique"),
            n_models=("n_models", "sum"),
            n_chosen=("n_chosen", "sum"),
        )
        .reset_index()
    )
    yield means.assign(protocol=protocol, place=means["layer"].map(_places(table)))


def _places(table: ScoreTable) -> dict[str, int]:
    """Return each layer's position in the order of the trials."""
    named = [
        layer for one in table.trials.values() if one.encoding for layer in one.encoding.layers
    ]
    return {layer: place for place, layer in enumerate(dict.fromkeys(named))}


ANALYSIS = Analysis(
    name="layers",
    question="Which layer of the backbone predicts which ROI?",
    schema=SCHEMA,
    make=make,
    version=3,
)
