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
        pa.field("n_chosen", pa.int32(), nullable=False),
    ]
)
"""place: position of the layer in the backbone, from 0. r: mean over vertices, then over subjects.
n_chosen: how many of the subjects' ROIs chose the layer."""

REGION = ["dataset", "hemisphere", "roi", "group"]


def make(inputs: Inputs) -> pa.Table:
    """Average r at every layer, for each method, ROI and hemisphere, and count its choices."""
    parts = [part for protocol in inputs.protocols for part in _of_protocol(inputs, protocol)]
    return pa.Table.from_pandas(pd.concat(parts), SCHEMA, preserve_index=False)


def _of_protocol(inputs: Inputs, protocol: str) -> Iterator[pd.DataFrame]:
    table = inputs.of_protocol(protocol)
    at_layers = table.at_layers().astype({"method": str, "roi_id": str})
    places = _places(table)
    chosen = _chosen(table)
    rois = rois_of(table.segments)
    placed = at_layers.join(rois[list(ROI_COLUMNS)], on="roi_id").merge(
        chosen, on=["method", "roi_id"], how="left", suffixes=("", "_chosen")
    )
    placed["is_chosen"] = placed["layer"] == placed["layer_chosen"]
    means = (
        placed.groupby(["method", *REGION, "layer"], sort=False)
        .agg(r=("r", "mean"), n_subjects=("roi_id", "nunique"), n_chosen=("is_chosen", "sum"))
        .reset_index()
    )
    yield means.assign(protocol=protocol, place=means["layer"].map(places))


def _places(table: ScoreTable) -> dict[str, int]:
    """Return each layer's position in the order of the trials."""
    named = [
        layer for one in table.trials.values() if one.encoding for layer in one.encoding.layers
    ]
    return {layer: place for place, layer in enumerate(dict.fromkeys(named))}


def _chosen(table: ScoreTable) -> pd.DataFrame:
    found = table.segments[["method", "roi_id", "layer"]].drop_duplicates(["method", "roi_id"])
    return found.astype(str)


ANALYSIS = Analysis("layers", "Which layer of the backbone predicts which ROI?", SCHEMA, make)
