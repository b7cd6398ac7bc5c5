"""Filters of a score table: by value, subject, trial; the latest data, one model per ROI."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import number_meant, subject_number
from orchestrator.scores.score_table import ScoreTable
from trainables.results.run_directory import RunDirectory
from trainables.spec.evaluation import Evaluation, WorkItem
from trainables.spec.labels import method_of
from trainables.spec.rois import ALL_VERTICES, WHOLE_GROUP
from trainables.spec.setting import is_named
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
    methods = table.segments["method"].astype(str).map(method_of)  # an evaluation's differ by ROI
    return table.where(named | ~methods.isin(methods[named].unique()))


def without_whole(table: ScoreTable) -> ScoreTable:
    """Leave out the ROIs of whole hemispheres, which hold every vertex of the other ROIs again.

    The table is returned as it is where it has no other ROIs.
    """
    kept = table.where(table.segments["group"] != WHOLE_GROUP)
    if kept.segments.empty or len(kept.segments) == len(table.segments):
        return table
    return replace(kept, trials={key: _without_whole(one) for key, one in table.trials.items()})


def _without_whole(work_item: WorkItem) -> WorkItem:
    others = [roi for roi in work_item.rois if roi.name != ALL_VERTICES]
    return work_item.scoring(others) if others else work_item


def of_latest_data(
    table: ScoreTable, started: Callable[[str], float]
) -> tuple[ScoreTable, list[str]]:
    """Keep, of trials that differ only in the data of their ROI, the one that started last.

    An ROI has several data where a subject was ingested again with other content. started: seconds
    since 1970 of a trial by its id. Returns the table, and one note per method with such ROIs.
    """
    keys = ["method", "seed", "roi_id", "protocol", "source"]
    found = with_source(table, keys[:-1]).astype(str)
    several = found[found.duplicated(keys, keep=False)]
    order = {key: (started(key), key) for key in several["trial_id"].unique()}
    dropped = [
        (row.trial_id, row.roi_id, row.protocol)
        for _, group in several.groupby(keys, dropna=False)  # untuned has no seed
        for row in group.itertuples()
        if row.trial_id != max(group["trial_id"], key=order.__getitem__)
    ]
    if not dropped:
        return table, []
    segments = pd.MultiIndex.from_frame(table.segments[["trial_id", "roi_id", "protocol"]])
    kept = table.where(pd.Series(~segments.isin(dropped), index=table.segments.index))
    notes = [
        f"{method}: trials on several versions of the data of {part['roi_id'].nunique()} ROIs, the "
        f"last started is taken; trials {some(sorted(part['trial_id'].unique()))}; --trial selects "
        "one"
        for method, part in several.groupby("method")
    ]
    return kept, notes


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
