"""Every score of a sweep in one table: read, restricted, one trial a cell."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestrator.cli.process import InputError, subject_number
from trainables.results.score_files import CODE_KEY, TRIAL_KEY, read_score_file
from trainables.spec import Untuned, digest
from trainables.spec.evaluation import Evaluation, Work, read_work, setting_source
from trainables.spec.rois import group_of

DERIVED: Final = ("cell", "group", "data", "setting", "code")
"""Columns that come from the file's metadata: cell id, ROI group, digests of data and setting,
version of the program; the last is null where the file does not say."""
SHOWN: Final = 4


@dataclass(frozen=True)
class ScoreTable:
    """Scores of many trials; restricting drops vertices and leaves the files' rows alone."""

    rows: pa.Table
    """SCORE_SCHEMA and DERIVED, as read, text dictionary-encoded."""
    vertices: pd.DataFrame
    """The rows that are kept, without r_by_layer; the index is the row's number in rows."""
    trials: Mapping[str, Work]
    """Each trial and evaluation by its id, as its score files tell it."""

    def where(self, kept: "pd.Series[bool]") -> "ScoreTable":
        """Keep the vertices for which ``kept`` holds."""
        return replace(self, vertices=self.vertices[kept])

    def present(self, column: str) -> list[str]:
        """List the distinct values of a column, sorted."""
        return sorted(self.vertices[column].unique())

    def at_layers(self) -> pd.DataFrame:
        """Average r over each cell's vertices at every layer, not only the chosen one.

        Returns a row a (method, cell, layer): columns method, cell, layer, r; no row where a
        layer has no r.
        """
        taken = self.rows.select(["r_by_layer"]).take(self.vertices.index.to_numpy())
        values = taken["r_by_layer"].combine_chunks()
        lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
        starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
        keys = self.vertices[["trial_id", "method", "cell"]]
        flat = keys.loc[keys.index.repeat(lengths)].reset_index(drop=True)
        flat["position"] = np.arange(len(flat)) - starts
        flat["r"] = pc.list_flatten(values).to_numpy(zero_copy_only=False).astype(np.float64)
        by = ["trial_id", "method", "cell", "position"]
        means = flat.groupby(by, observed=True)["r"].mean().dropna().reset_index()
        named = zip(means["trial_id"], means["position"], strict=True)
        layers = {name: one.encoding.layers for name, one in self.trials.items() if one.encoding}
        means["layer"] = [layers[trial][k] for trial, k in named]
        return means[["method", "cell", "layer", "r"]]


def read_score_table(runs: Path, trial_ids: Collection[str] | None = None) -> ScoreTable:
    """Read the score files of a sweep: of all its trials, or of those named.

    Raises InputError when there is no score to read, or with a line for each damaged file.
    """
    if not runs.is_dir():
        raise InputError(f"{runs}: no such directory; give --out the directory of a sweep")
    files = sorted((runs / "scores").glob("*/[!.]*.parquet"))
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


def _read(path: Path) -> tuple[pa.Table, Work]:
    table = read_score_file(path)
    try:
        told = pq.read_schema(path).metadata or {}
        trial = read_work(told[TRIAL_KEY].decode())
        code = told[CODE_KEY].decode() if CODE_KEY in told else None
        cell = next(cell for cell in trial.cells if cell.id == path.stem)
    except (ValueError, TypeError, KeyError, StopIteration) as error:
        raise ValueError(
            f"{path}: does not say which trial and cell its scores are of; "
            "remove it and run the sweep again"
        ) from error
    for number, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            encoded = table[field.name].dictionary_encode()
            table = table.set_column(number, field.name, encoded)
    derived = (cell.id, group_of(cell.roi), cell.data, setting_of(trial), code)
    for name, value in zip(DERIVED, derived, strict=True):
        constant = pa.array([value] * len(table), pa.string()).dictionary_encode()
        table = table.append_column(name, constant)
    return table, trial


def setting_of(work: Work) -> str:
    """Digest how a trial is tuned and encoded, wherever it is: 8 hex digits, alike over cells.

    An evaluation has the setting of its model.
    """
    return digest(_setting(work))


def is_named(work: Work, name: str) -> bool:
    """Tell whether a name is a trial's id, its beginning, or its setting's 8 hex digits."""
    return work.id.startswith(name) or setting_of(work) == name


def _setting(work: Work) -> dict[str, Any]:
    trial = setting_source(work)
    seed = None if isinstance(trial.objective, Untuned) else trial.seed
    encoding = asdict(trial.encoding) if trial.encoding else {"encoding": None}
    fields = {**asdict(trial.objective), **asdict(trial.trunk), **encoding}
    return {"method": trial.method, **fields, "seed": seed}


def keep_values(table: ScoreTable, flag: str, column: str, wanted: Sequence[str]) -> ScoreTable:
    """Keep the rows with a wanted value of a column; raise InputError when there are none."""
    kept = table.where(table.vertices[column].isin(wanted))
    if kept.vertices.empty:
        raise InputError(
            f"--{flag} {','.join(wanted)}: no scores; there are {', '.join(table.present(column))}"
        )
    return kept


def keep_subjects(table: ScoreTable, numbers: Sequence[int]) -> ScoreTable:
    """Keep the subjects of these numbers; raise InputError when one has no scores."""
    found = {name: subject_number(name) for name in table.present("subject")}
    absent = sorted(set(numbers) - set(found.values()))
    if absent:
        raise InputError(
            f"--subjects: no scores of {', '.join(map(str, absent))}; there are {', '.join(found)}"
        )
    wanted = [name for name, number in found.items() if number in numbers]
    return table.where(table.vertices["subject"].isin(wanted))


def keep_trials(table: ScoreTable, names: Sequence[str]) -> ScoreTable:
    """Keep the named trials, and every trial of the methods of which none is named.

    A name is a trial's id, its beginning, or a setting's 8 hex digits. Raises InputError when a
    name fits no trial.
    """
    chosen: set[str] = set()
    for name in names:
        fits = {key for key, work in table.trials.items() if is_named(work, name)}
        if not fits:
            raise InputError(f"--trial {name}: no such trial; there are {_some(table.trials)}")
        chosen |= fits
    named = table.vertices["trial_id"].isin(chosen)
    methods = table.vertices.loc[named, "method"].unique()  # an evaluation's differ by cell
    return table.where(named | ~table.vertices["method"].isin(methods))


def one_trial_a_cell(
    table: ScoreTable, started: Callable[[str], float]
) -> tuple[ScoreTable, list[str]]:
    """Keep, of a method's trials on the same cell and protocol, the one that started last.

    started: seconds since 1970 of a trial by its id. Returns what is kept, and a line for each
    method that had several trials on a cell, or whose cells are of several settings.
    """
    keys = ["method", "cell", "protocol", "source"]
    found = with_source(table, [*keys[:-1], "setting"])
    several = found[found.duplicated(keys, keep=False)]
    order = {key: (started(key), key) for key in several["trial_id"].unique()}
    dropped = [
        (row.trial_id, row.cell, row.protocol)
        for _, group in several.groupby(keys, observed=True)
        for row in group.itertuples()
        if row.trial_id != max(group["trial_id"], key=order.__getitem__)
    ]
    kept = table
    if dropped:
        of_row = pd.MultiIndex.from_frame(table.vertices[["trial_id", "cell", "protocol"]])
        unwanted = of_row.isin(dropped)
        kept = table.where(pd.Series(~unwanted, index=table.vertices.index))
    notes = [_told(table, found[found["method"] == m], several) for m in table.present("method")]
    return kept, [note for note in notes if note]


def with_source(table: ScoreTable, columns: Sequence[str]) -> pd.DataFrame:
    """List each trial's distinct values of columns, and the cells that an evaluated model is of.

    The column source names the cells that the model was tuned on; it is empty for a trial.
    """
    found = table.vertices[["trial_id", *columns]].drop_duplicates()
    tuned_on = {key: one.trained_on for key, one in evaluations_of(table).items()}
    return found.assign(source=[tuned_on.get(key) or "" for key in found["trial_id"]])


def evaluations_of(table: ScoreTable) -> dict[str, Evaluation]:
    """Return the evaluations of a table by their ids."""
    return {key: one for key, one in table.trials.items() if isinstance(one, Evaluation)}


def _told(table: ScoreTable, found: pd.DataFrame, several: pd.DataFrame) -> str:
    """Say which settings of one method there are, and on how many cells a choice was made."""
    method = found["method"].iloc[0]
    n_several = several.loc[several["method"] == method, "cell"].nunique()
    settings = found.groupby("setting", observed=True)["trial_id"].first()
    if not n_several and len(settings) == 1:
        return ""
    taken = f"several trials on {n_several} of its cells, the last started is taken; "
    names = f"trials {_some(found['trial_id'].unique())}"
    if len(settings) > 1:
        described = _describe({key: _setting(table.trials[t]) for key, t in settings.items()})
        names = f"settings {_some(described, '; ')}"
    return f"{method}: {taken if n_several else ''}{names}; --trial keeps one"


def _describe(settings: Mapping[Any, Mapping[str, Any]]) -> list[str]:
    """Name each setting by the values in which the settings differ."""
    names = [
        name
        for name in next(iter(settings.values()))
        if len({str(setting[name]) for setting in settings.values()}) > 1
    ]
    return [
        " ".join([str(key), *(f"{name}={setting[name]}" for name in names)])
        for key, setting in settings.items()
    ]


def _some(names: Collection[str], separator: str = ", ") -> str:
    shown = sorted(names)[:SHOWN]
    more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return separator.join([*shown, *more])


def started_in(runs: Path) -> Callable[[str], float]:
    """Return a function that tells when a trial started; a trial without an outcome is oldest."""

    def started(trial_id: str) -> float:
        from trainables.results.outcome import Outcome

        outcome = Outcome.read(runs, trial_id)
        return -np.inf if outcome is None else outcome.started

    return started
