"""Brain-fit against task accuracy: one point per backbone, and the Pareto front."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs
from orchestrator.analyze.backbone_columns import BACKBONE_FIELDS
from orchestrator.analyze.questions.classification import KIND, read_accuracies
from orchestrator.scores.references import UNTUNED, join_untuned
from orchestrator.scores.rows import roi_weights
from trainables.spec import Trial
from trainables.spec.labels import method_of

SCHEMA = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("protocol", pa.string(), nullable=False),
        *BACKBONE_FIELDS,
        pa.field("accuracy", pa.float64(), nullable=False),
        pa.field("r", pa.float64(), nullable=False),
        pa.field("r_untuned", pa.float64(), nullable=False),
        pa.field("gain", pa.float64(), nullable=False),
        pa.field("n_rois", pa.int32(), nullable=False),
        pa.field("is_pareto", pa.bool_(), nullable=False),
    ]
)
"""r: mean over the vertices of the ROIs that the backbone was fine-tuned on, then over these ROIs;
gain: r minus the untuned backbone's on the same ROIs. is_pareto: of the backbones of the same
group, task and protocol, none is better in one of accuracy and gain and as good in the other.
The untuned backbone has gain 0 in every group, and its mean r over the ROIs that any of the group's
backbones was fine-tuned on: over the ROIs of a subject, then over subjects."""


def make(inputs: Inputs) -> pa.Table:
    """Join each backbone's gain on its own ROIs with its accuracy, and mark the Pareto fronts."""
    accuracy = read_accuracies(inputs).to_pandas()
    parts = []
    for protocol in inputs.protocols:
        by_roi = _by_roi(inputs, protocol)
        joined = accuracy.merge(_gains(by_roi), on="backbone").assign(protocol=protocol)
        parts.append(joined)
        for (task, group), of_group in joined.groupby(["task", "group"]):
            untuned = accuracy[
                (accuracy["method"].map(method_of) == UNTUNED) & (accuracy["task"] == task)
            ]
            own = by_roi[by_roi["backbone"].isin(of_group["backbone"])]
            parts.append(_untuned(untuned, own).assign(group=group, protocol=protocol))
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=SCHEMA.names)
    rows["is_pareto"] = False
    for _, part in rows.groupby(["task", "protocol", "group"]):
        front = on_front(part[["accuracy", "gain"]].to_numpy(dtype=np.float64))
        rows.loc[part.index, "is_pareto"] = front
    return pa.Table.from_pandas(rows[SCHEMA.names], SCHEMA, preserve_index=False)


def on_front(points: "np.ndarray[Any, np.dtype[np.float64]]") -> "np.ndarray[Any, Any]":
    """Tell which points (n, 2) no other point dominates; higher is better in both. (n,) bool."""
    at_least = np.all(points[None] >= points[:, None], axis=2)
    better = np.any(points[None] > points[:, None], axis=2)
    not_dominated: np.ndarray[Any, Any] = ~np.any(at_least & better, axis=1)
    return not_dominated


def _by_roi(inputs: Inputs, protocol: str) -> pd.DataFrame:
    """Average each training's r, and untuned's, over each ROI that it was fine-tuned on.

    Columns backbone, roi_id, dataset, subject, r, r_untuned.
    """
    table = inputs.of_protocol(protocol)
    trials = {key: one for key, one in table.trials.items() if isinstance(one, Trial)}
    own = {key: one.training_id for key, one in trials.items() if one.is_of_own_rois}
    vertices = table.vertices.assign(backbone=table.vertices["trial_id"].astype(str).map(own))
    untuned = vertices["method"].astype(str).map(method_of) == UNTUNED
    finetuned = vertices[vertices["backbone"].notna() & ~untuned]
    paired = join_untuned(finetuned, table).dropna(subset=["r", "r_untuned"])
    place = ["backbone", "roi_id", "dataset", "subject"]
    means = paired.groupby(place, observed=True)[["r", "r_untuned"]].mean().reset_index()
    return means.astype(dict.fromkeys(place, str))


def _gains(by_roi: pd.DataFrame) -> pd.DataFrame:
    """Average each training's r and gain over the ROIs that it was fine-tuned on."""
    grouped = by_roi.groupby("backbone")
    means = grouped[["r", "r_untuned"]].mean().assign(n_rois=grouped.size())
    return means.assign(gain=means["r"] - means["r_untuned"]).reset_index()


def _untuned(accuracy: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Place the untuned backbone among a group's: no gain, on each of the group's ROIs once.

    accuracy: its rows of one task. own: rows of :func:`_by_roi` of the group's trainings.
    """
    rois = own.drop_duplicates("roi_id").set_index("roi_id")
    r = float((rois["r_untuned"] * roi_weights(rois)).sum())
    return accuracy.assign(r=r, r_untuned=r, gain=0.0, n_rois=len(rois))


ANALYSIS = Analysis(
    name="brain_fit",
    question="What does a better fit to the brain cost in classification accuracy?",
    schema=SCHEMA,
    make=make,
    sources=lambda inputs: [*inputs.score_files(), *inputs.probe_files(KIND)],
    probes=(KIND,),
    version=3,
)
