"""Scores as a tidy table: one row per ROI, method and protocol."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from orchestrator.scores.score_table import ScoreTable
from orchestrator.scores.statistics.hierarchical_interval import mean_uncertainty
from orchestrator.scores.statistics.measured_differences import NOTHING, MeasuredDifferences
from orchestrator.scores.statistics.noise_ceilings import CEILING, has_data, shares, with_ceilings
from orchestrator.scores.statistics.paired_predictions import PROTOCOL
from orchestrator.scores.table_export import interval_columns
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest
from trainables.results.epoch_report import EpochReport
from trainables.results.outcome import Outcome
from trainables.spec import Untuned
from trainables.spec.evaluation import WorkItem, training_of
from trainables.spec.labels import Labels, method_of
from trainables.spec.setting import Value, setting_of

_TEXT, _WHOLE, _NUMBER = pa.string(), pa.int32(), pa.float64()
TIDY_SCHEMA: Final = pa.schema(
    [
        pa.field("benchmark", _TEXT, nullable=False),
        pa.field("split", _TEXT),
        pa.field("subject", _TEXT, nullable=False),
        pa.field("hemisphere", _TEXT, nullable=False),
        pa.field("roi", _TEXT, nullable=False),
        pa.field("group", _TEXT, nullable=False),
        pa.field("n_vertices", _WHOLE, nullable=False),
        pa.field("n_scored", _WHOLE, nullable=False),
        pa.field("n_images", _WHOLE, nullable=False),
        pa.field("n_overlap", _WHOLE, nullable=False),
        pa.field("n_excluded", _WHOLE, nullable=False),
        pa.field("method", _TEXT, nullable=False),
        pa.field("model", _TEXT, nullable=False),
        pa.field("weights", _TEXT, nullable=False),
        pa.field("layer", _TEXT, nullable=False),
        pa.field("protocol", _TEXT, nullable=False),
        pa.field("r", _NUMBER),
        pa.field("r_median", _NUMBER),
        pa.field("standard_error", _NUMBER),
        pa.field("low", _NUMBER),
        pa.field("high", _NUMBER),
        pa.field("interval_over", _TEXT),
        pa.field("r2", _NUMBER),
        pa.field("noise_ceiling", _NUMBER),
        pa.field("explained", _NUMBER),
        pa.field("n_ceiling", _WHOLE, nullable=False),
        pa.field("n_above_ceiling", _WHOLE, nullable=False),
        pa.field("objective", _TEXT, nullable=False),
        pa.field("hyperparameters", _TEXT, nullable=False),
        pa.field("loss", _NUMBER),
        pa.field("trained_on", _TEXT),
        pa.field("training_subjects", pa.list_(_TEXT)),
        pa.field("seed", _WHOLE),
        pa.field("code", _TEXT),
        pa.field("is_simulated", pa.bool_(), nullable=False),
        pa.field("data", _TEXT, nullable=False),
        pa.field("setting", _TEXT, nullable=False),
        pa.field("trial_id", _TEXT, nullable=False),
        pa.field("training_id", _TEXT, nullable=False),
        pa.field("host", _TEXT, nullable=False),
        pa.field("started", _TEXT),
    ]
)
"""docs/data.md says what each column means; values in which settings differ follow."""

_CONSTANT: Final = (
    *("dataset", "subject", "hemisphere", "roi", "group", "layer", "protocol"),
    *("n_test", "n_overlap", "n_excluded", "trained_on"),
    *("trial_id", "data", "setting", "code", "is_simulated", "host"),
)
"""Columns that are constant within a score file's ROI and protocol."""


def tidy_rows(
    table: ScoreTable,
    data: DataDirectory,
    outcome: Callable[[str], Outcome | None],
    measured: MeasuredDifferences,
) -> pa.Table:
    """Summarise the selected rows: TIDY_SCHEMA, one row per trial, ROI and protocol.

    After these come the values in which settings of a method differ, as of setting_columns.
    data: the directory of shards, for splits and noise ceilings; null where it lacks what was
    scored. outcome: how a trial ended, by its id, or None. measured: as of measure_trials, for the
    interval of r over test images.
    """
    vertices = with_ceilings(table.vertices, data)
    vertices = vertices.assign(share=shares(vertices))
    groups = vertices.groupby(["trial_id", "roi_id", "protocol"], observed=True, sort=False)
    splits = _splits(table, data)
    rows, work_items = [], []
    for (trial_id, roi_id, protocol), roi in groups:
        first = {name: roi[name].iloc[0] for name in _CONSTANT}
        work_item = table.trials[str(trial_id)]
        work_items.append(work_item)
        known = measured.differences.get((str(trial_id), NOTHING), {}).get(str(roi_id))
        uncertainty = mean_uncertainty([known], [1.0]) if known and protocol == PROTOCOL else None
        training = outcome(training_of(work_item).id)
        rows.append(
            {
                **_of_roi(first, splits),
                "method": method_of(str(roi["method"].iloc[0])),
                **(scored := _of_scores(roi)),
                **interval_columns(scored["r"], uncertainty),
                **_of_work_item(
                    work_item, outcome(work_item.id), training.history if training else ()
                ),
            }
        )
    tidy = pa.Table.from_pylist(rows, TIDY_SCHEMA)
    for name, values in setting_columns(table.labels, work_items).items():
        if name not in TIDY_SCHEMA.names:  # weights and model are there anyway
            tidy = tidy.append_column(name, values)
    return tidy


def setting_columns(labels: Labels, work_items: Sequence[WorkItem]) -> dict[str, pa.Array]:
    """Return a column per value in which settings of a method differ, by name.

    One row per work item: numbers where all values are; null where its method has no such value.
    """
    settings = [setting_of(one).values for one in work_items]
    return {name: _column([values.get(name) for values in settings]) for name in labels.names}


def _column(values: Sequence[Value]) -> pa.Array:
    known = [one for one in values if one is not None]
    if all(isinstance(one, bool) for one in known):
        return pa.array(values, pa.bool_())
    if all(isinstance(one, int) for one in known):
        return pa.array(values, pa.int64())
    if all(isinstance(one, int | float) for one in known):
        return pa.array(values, pa.float64())
    texts = [",".join(map(str, one)) if isinstance(one, tuple) else one for one in values]
    return pa.array([None if one is None else str(one) for one in texts], pa.string())


def _splits(table: ScoreTable, data: DataDirectory) -> dict[tuple[str, str, str], str]:
    """Read the split of each subject whose shard has the content that was scored."""
    keys = ["dataset", "subject", "data"]
    places = table.segments[keys].drop_duplicates().astype(str).to_numpy().tolist()
    shards = {tuple(place): data.shard(f"{place[0]}-{place[1]}") for place in places}
    return {
        place: Manifest.read(shard).split
        for place, shard in shards.items()
        if has_data(shard, place[2])
    }


def _of_roi(first: dict[str, Any], splits: Mapping[tuple[str, str, str], str]) -> dict[str, Any]:
    """Collect an ROI's columns from its score files, and the split of its subject."""
    kept = {name: first[name] for name in _CONSTANT if name not in ("dataset", "n_test", "code")}
    return {
        **kept,
        "benchmark": first["dataset"],
        "split": splits.get((first["dataset"], first["subject"], first["data"])),
        "n_images": int(first["n_test"]),
        **{name: int(first[name]) for name in ("n_overlap", "n_excluded")},
        **{name: None if pd.isna(first[name]) else first[name] for name in ("code", "trained_on")},
    }


def _of_scores(roi: pd.DataFrame) -> dict[str, Any]:
    """Summarise an ROI's vertices; None where no vertex has the values."""
    r, known = roi["r"].dropna(), roi.dropna(subset=["share"])
    return {
        "n_vertices": len(roi),
        "n_scored": len(r),
        "r": _mean(r),
        "r_median": None if r.empty else float(r.median()),
        "r2": _mean(r**2),
        "noise_ceiling": _mean(known[CEILING]),
        "explained": None if known.empty else float(known["share"].median()),
        "n_ceiling": len(known),
        "n_above_ceiling": int((known["share"] > 1).sum()),
    }


def _mean(values: "pd.Series[float]") -> float | None:
    return None if values.empty else float(values.mean())


def _of_work_item(
    work_item: WorkItem, outcome: Outcome | None, history: Sequence[EpochReport]
) -> dict[str, Any]:
    """Return the columns that describe the fine-tuning, and when the ROI was scored."""
    trial = training_of(work_item)
    finetuned = not isinstance(trial.objective, Untuned)
    return {
        "model": trial.backbone.architecture,
        "weights": trial.backbone.weights,
        "objective": trial.objective.method,
        "hyperparameters": json.dumps(asdict(trial.objective), sort_keys=True),
        "loss": history[-1].loss if finetuned and history else None,
        "training_subjects": sorted({c.subject for c in trial.rois}) if finetuned else None,
        "seed": trial.seed if finetuned else None,
        "training_id": trial.training_id,
        "started": None
        if outcome is None
        else datetime.fromtimestamp(outcome.started, UTC).isoformat(timespec="seconds"),
    }
