"""Every score of a sweep in one table: read and filtered, one trial per ROI."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestrator.cli.errors import InputError
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import CODE_KEY, TRIAL_KEY, read_score_file
from trainables.spec import Untuned, digest
from trainables.spec.evaluation import WorkItem, read_work_item, training_of
from trainables.spec.rois import roi_group_of

DERIVED: Final = ("roi_id", "group", "data", "setting", "code")
"""Columns that come from the file's metadata: ROI id, ROI group, digests of data and setting,
version of the program; the last is null where the file does not say."""


@dataclass(frozen=True)
class ScoreTable:
    """Scores of many trials; a filter drops vertices and keeps the rows of the files."""

    rows: pa.Table
    """SCORE_SCHEMA and DERIVED, as read, text dictionary-encoded."""
    vertices: pd.DataFrame
    """The selected rows, without r_by_layer; the index is the row's number in rows."""
    trials: Mapping[str, WorkItem]
    """Each trial and evaluation by its id, as recorded in its score files."""

    def where(self, kept: "pd.Series[bool]") -> "ScoreTable":
        """Keep the vertices for which ``kept`` holds."""
        return replace(self, vertices=self.vertices[kept])

    def present(self, column: str) -> list[str]:
        """List the distinct values of a column, sorted."""
        return sorted(self.vertices[column].unique())

    def at_layers(self) -> pd.DataFrame:
        """Average r over each ROI's vertices at every layer, not only the chosen one.

        Returns one row per (method, ROI, layer): columns method, ROI, layer, r; no row where a
        layer has no r.
        """
        taken = self.rows.select(["r_by_layer"]).take(self.vertices.index.to_numpy())
        values = taken["r_by_layer"].combine_chunks()
        lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
        starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
        keys = self.vertices[["trial_id", "method", "roi_id"]]
        flat = keys.loc[keys.index.repeat(lengths)].reset_index(drop=True)
        flat["position"] = np.arange(len(flat)) - starts
        flat["r"] = pc.list_flatten(values).to_numpy(zero_copy_only=False).astype(np.float64)
        by = ["trial_id", "method", "roi_id", "position"]
        means = flat.groupby(by, observed=True)["r"].mean().dropna().reset_index()
        named = zip(means["trial_id"], means["position"], strict=True)
        layers = {name: one.encoding.layers for name, one in self.trials.items() if one.encoding}
        means["layer"] = [layers[trial][k] for trial, k in named]
        return means[["method", "roi_id", "layer", "r"]]


def read_score_table(runs: RunDirectory, trial_ids: Collection[str] | None = None) -> ScoreTable:
    """Read the score files of a sweep: of all its trials, or of those named.

    Raises InputError when there is no score to read, or with a line for each damaged file.
    """
    if not runs.path.is_dir():
        raise InputError(f"{runs}: no such directory; give --out the directory of a sweep")
    files = runs.score_files()
    if trial_ids is not None:
        files = [path for path in files if path.parent.name in trial_ids]
    if not files:
        raise InputError(f"{runs}: holds no scores; run python -m orchestrator.sweep first")
    tables, trials, complaints = [], {}, []
    for path in files:
        try:
            table, trial = _read(path)
        except ValueError as error:
            complaints.append(str(error))
            continue
        tables.append(table)
        trials[trial.id] = trial
    if complaints:
        raise InputError(*complaints)
    rows = pa.concat_tables(tables).unify_dictionaries()
    columns = [name for name in rows.column_names if name != "r_by_layer"]
    return ScoreTable(rows, rows.select(columns).to_pandas(), trials)


def _read(path: Path) -> tuple[pa.Table, WorkItem]:
    table = read_score_file(path)
    try:
        metadata = pq.read_schema(path).metadata or {}
        trial = read_work_item(metadata[TRIAL_KEY].decode())
        code = metadata[CODE_KEY].decode() if CODE_KEY in metadata else None
        roi = next(roi for roi in trial.rois if roi.id == path.stem)
    except (ValueError, TypeError, KeyError, StopIteration) as error:
        raise ValueError(
            f"{path}: the trial and ROI of its scores are not recorded in it; "
            "remove it and run the sweep again"
        ) from error
    for number, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            encoded = table[field.name].dictionary_encode()
            table = table.set_column(number, field.name, encoded)
    derived = (roi.id, roi_group_of(roi.name), roi.data, setting_of(trial), code)
    for name, value in zip(DERIVED, derived, strict=True):
        constant = pa.array([value] * len(table), pa.string()).dictionary_encode()
        table = table.append_column(name, constant)
    return table, trial


def setting_of(work_item: WorkItem) -> str:
    """Digest how a trial is fine-tuned and encoded, wherever it is: 8 hex digits, alike over ROIs.

    An evaluation has the setting of its model.
    """
    return digest(setting_values(work_item))


def is_named(work_item: WorkItem, name: str) -> bool:
    """Tell whether a name is a trial's id, its beginning, or its setting's 8 hex digits."""
    return work_item.id.startswith(name) or setting_of(work_item) == name


def setting_values(work_item: WorkItem) -> dict[str, Any]:
    """Return the settings of how a trial is fine-tuned and encoded, by name."""
    trial = training_of(work_item)
    seed = None if isinstance(trial.objective, Untuned) else trial.seed
    encoding = asdict(trial.encoding) if trial.encoding else {"encoding": None}
    fields = {**asdict(trial.objective), **asdict(trial.backbone), **encoding}
    return {"method": trial.method, **fields, "seed": seed}
