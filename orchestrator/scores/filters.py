"""Filters of a score table: by value, subject, trial; one trial or model per ROI."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import number_meant, subject_number
from orchestrator.scores.score_table import ScoreTable
from trainables.results.run_directory import RunDirectory
from trainables.spec.evaluation import Evaluation
from trainables.spec.setting import is_named, setting_of
from trainables.wording import meant, some


def keep_values(table: ScoreTable, flag: str, column: str, wanted: Sequence[str]) -> ScoreTable:
    """Keep the rows with a wanted value of a column; raise InputError when there are none."""
    kept = table.keep(column, wanted)
    if kept.segments.empty:
        present = table.present(column)
        raise InputError(
            f"--{flag} {','.join(wanted)}: no scores; there are {', '.join(present)}"
            f"{meant(wanted[0], present)}"
        )
    return kept


def keep_subjects(table: ScoreTable, numbers: Sequence[int]) -> ScoreTable:
    """Keep the subjects of these numbers; raise InputError when one has no scores."""
    found = {name: subject_number(name) for name in table.present("subject")}
    absent = sorted(set(numbers) - set(found.values()))
    if absent:
        raise InputError(
            f"--subjects: no scores of {', '.join(map(str, absent))}; there are {', '.join(found)}"
            f"{number_meant(absent[0], found)}"
        )
    wanted = [name for name, number in found.items() if number in numbers]
    return table.keep("subject", wanted)


def keep_trials(table: ScoreTable, names: Sequence[str]) -> ScoreTable:
    """Keep the named trials, and every trial of the methods of which none is named.

    A name is a trial's id, its beginning, or a setting's 8 hex digits. Raises InputError when a
    name fits no trial.
    """
    chosen: set[str] = set()
    for name in names:
        fits = {key for key, work_item in table.trials.items() if is_named(work_item, name)}
        if not fits:
            raise InputError(
                f"--trial {name}: no such trial; there are {some(sorted(table.trials))}"
            )
        chosen |= fits
    named = table.segments["trial_id"].isin(chosen)
    methods = table.segments.loc[named, "method"].unique()  # an evaluation's differ by ROI
    return table.where(named | ~table.segments["method"].isin(methods))


def one_trial_per_roi(
    table: ScoreTable, started: Callable[[str], float]
) -> tuple[ScoreTable, list[str]]:
    """Keep, of a method's trials on the same ROI and protocol, the one that started last.

    started: seconds since 1970 of a trial by its id. Returns the table, and one note per
    method that had several trials on an ROI, or whose ROIs are of several settings.
    """
    keys = ["method", "roi_id", "protocol", "source"]
    found = with_source(table, [*keys[:-1], "setting"])
    several = found[found.duplicated(keys, keep=False)]
    order = {key: (started(key), key) for key in several["trial_id"].unique()}
    dropped = [
        (row.trial_id, row.roi_id, row.protocol)
        for _, group in several.groupby(keys, observed=True)
        for row in group.itertuples()
        if row.trial_id != max(group["trial_id"], key=order.__getitem__)
    ]
    kept = table
    if dropped:
        segments = pd.MultiIndex.from_frame(table.segments[["trial_id", "roi_id", "protocol"]])
        unwanted = segments.isin(dropped)
        kept = table.where(pd.Series(~unwanted, index=table.segments.index))
    notes = [
        _describe_several(table, found[found["method"] == m], several)
        for m in table.present("method")
    ]
    return kept, [note for note in notes if note]


def with_source(table: ScoreTable, columns: Sequence[str]) -> pd.DataFrame:
    """List each trial's distinct values of columns, and the ROIs that an evaluated model is of.

    The column source names the ROIs that the model was fine-tuned on; it is empty for a trial.
    """
    found = table.segments[["trial_id", *columns]].drop_duplicates()
    finetuned_on = {key: one.trained_on for key, one in evaluations_of(table).items()}
    return found.assign(source=[finetuned_on.get(key) or "" for key in found["trial_id"]])


def evaluations_of(table: ScoreTable) -> dict[str, Evaluation]:
    """Return the evaluations of a table by their ids."""
    return {key: one for key, one in table.trials.items() if isinstance(one, Evaluation)}


def _describe_several(table: ScoreTable, found: pd.DataFrame, several: pd.DataFrame) -> str:
    """Describe the settings of one method, and on how many ROIs one was chosen."""
    method = found["method"].iloc[0]
    n_several = several.loc[several["method"] == method, "roi_id"].nunique()
    settings = found.groupby("setting", observed=True)["trial_id"].first()
    if not n_several and len(settings) == 1:
        return ""
    taken = f"several trials on {n_several} of its ROIs, the last started is taken; "
    names = f"trials {some(sorted(found['trial_id'].unique()))}"
    if len(settings) > 1:
        described = _describe(
            {key: setting_of(table.trials[t]).values for key, t in settings.items()}
        )
        names = f"settings {some(sorted(described), '; ')}"
    return f"{method}: {taken if n_several else ''}{names}; --trial selects one"


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


def started_in(runs: RunDirectory) -> Callable[[str], float]:
    """Return a function that gives a trial's start; a trial without an outcome is oldest."""

    def started(trial_id: str) -> float:
        from trainables.results.outcome import Outcome

        outcome = Outcome.read(runs, trial_id)
        return -np.inf if outcome is None else outcome.started

    return started


def one_model_per_roi(table: ScoreTable) -> tuple[ScoreTable, list[str]]:
    """Leave out the methods that score an ROI by several models, which no row can hold.

    Returns the table, and one note per method that is left out.
    """
    keys = ["method", "roi_id", "protocol"]
    found = with_source(table, keys)[[*keys, "source"]].drop_duplicates()
    several = found[found.duplicated(keys, keep=False)]
    notes = [
        f"{method}: several models on {part['roi_id'].nunique()} ROIs; --by model shows them, "
        "--trial with the beginning of an id selects some"
        for method, part in several.groupby("method", observed=True)
    ]
    return table.where(~table.segments["method"].isin(several["method"].unique())), notes
