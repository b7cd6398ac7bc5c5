"""Segments of score files: an ROI of a trial under one protocol.

A segment is the rows of a score file that differ only in their vertex.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from trainables.results.score_files import ScoreFile, read_score_columns
from trainables.spec import Roi, Trial, Untuned
from trainables.spec.evaluation import WorkItem, method_on, training_of
from trainables.spec.labels import join_label, labels_of
from trainables.spec.rois import roi_group_of
from trainables.spec.setting import setting_of

RECORDED: Final = ("trial_id", "method", "dataset", "subject", "hemisphere", "roi")
"""Columns that follow from the trial and the ROI that a file records. method: the label of the
method and its setting (trainables.spec.labels), since every setting has rows of its own."""
MEASURED: Final = ("protocol", "layer", "n_test", "host", "n_overlap", "n_excluded")
"""Columns that are constant within a segment, as the file has them."""
DERIVED: Final = ("roi_id", "group", "data", "setting", "seed", "code", "is_simulated")
"""Further columns from the file's metadata: ROI id, ROI group, digests of data and setting, the
seed of the fine-tuning (null if untuned), version of the program (null if not recorded), and
whether the data are simulated."""
COUNTS: Final = ("n_test", "n_overlap", "n_excluded")
PLACES: Final = ("file", "first", "n")
"""Where a segment is: number of its file, its first row and number of rows there."""

Integers = np.ndarray[Any, np.dtype[np.int32]]
Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class FileScores:
    """The content of a score file."""

    recorded: ScoreFile
    vertex: Integers
    """(n_rows,) columns of the hemisphere's responses."""
    r: Numbers
    """(n_rows,) Pearson r; NaN where a vertex is constant."""
    segments: tuple[tuple[int, int, tuple[Any, ...]], ...]
    """First row, number of rows, and the values of MEASURED."""


def read_scores_of(path: Path) -> FileScores | str | None:
    """Read a score file; return None for a stranger, or what is wrong with it."""
    try:
        read = read_score_columns(path, (*MEASURED, "vertex", "r"))
    except ValueError as error:
        return str(error)
    if read is None:
        return None
    file, table = read
    columns = [table[name].combine_chunks() for name in MEASURED]
    firsts = _first_rows(columns)
    sizes = np.diff(firsts, append=len(table)).tolist()
    segments = tuple(
        (first, n, tuple(column[first].as_py() for column in columns))
        for first, n in zip(firsts, sizes, strict=True)
    )
    return FileScores(file, table["vertex"].to_numpy(), table["r"].to_numpy(), segments)


def _first_rows(columns: list[pa.Array]) -> list[int]:
    """Find the rows at which any of the columns changes its value, row 0 included."""
    changes = np.zeros(max(0, len(columns[0]) - 1), bool)
    for column in columns:
        is_text = pa.types.is_dictionary(column.type)
        values = (column.indices if is_text else column).to_numpy()
        changes |= values[1:] != values[:-1]
    return [0, *(np.flatnonzero(changes) + 1).tolist()] if len(columns[0]) else []


def tabulate(parts: Sequence[FileScores]) -> pd.DataFrame:
    """List the segments of all files; text is categorical, in order of appearance."""
    rows: list[tuple[Any, ...]] = []
    label, settings = _labeller(parts), dict[str, str]()
    for number, one in enumerate(parts):
        work_item, roi, code = one.recorded.work_item, one.recorded.roi, one.recorded.code
        if work_item.id not in settings:
            settings[work_item.id] = setting_of(work_item).digest
        recorded = (work_item.id, label(work_item, roi))
        place = (roi.dataset, roi.subject, roi.hemisphere, roi.name)
        known = (roi.id, roi_group_of(roi.name), roi.data, settings[work_item.id])
        derived = (*known, seed_of(work_item), code, one.recorded.is_simulated)
        for first, n, measured in one.segments:
            values = (*recorded, *place, *measured, work_item.trained_on, *derived)
            rows.append((*values, number, first, n))
    names = [*RECORDED, *MEASURED, "trained_on", *DERIVED, *PLACES]
    frame = pd.DataFrame.from_records(rows, columns=names)
    for name in names:
        if name not in (*COUNTS, *PLACES, "is_simulated"):
            present = frame[name].dropna().unique()
            frame[name] = pd.Categorical(frame[name], categories=present)
    return frame.astype(dict.fromkeys(COUNTS, np.int32))


def seed_of(work_item: WorkItem) -> str | None:
    """Return the seed of a work item's fine-tuning as text; None if untuned."""
    trial = training_of(work_item)
    return None if isinstance(trial.objective, Untuned) else str(trial.seed)


def _labeller(parts: Sequence[FileScores]) -> Callable[[WorkItem, Roi], str]:
    """Return a function that labels a work item's scores on an ROI.

    Pooled models that differ only in their pools, and score the same ROI, are named by these too.
    """
    labels = labels_of(
        {one.recorded.work_item.id: one.recorded.work_item for one in parts}.values()
    )
    values: dict[str, dict[str, str]] = {}
    pools: dict[tuple[str, str | None, Roi], set[str]] = {}
    for one in parts:
        work_item = one.recorded.work_item
        values.setdefault(work_item.id, labels.values(work_item))
        if isinstance(work_item, Trial) and len(work_item.rois) > 1 and work_item.trained_on:
            key = (setting_of(work_item).digest, seed_of(work_item), one.recorded.roi)
            pools.setdefault(key, set()).add(work_item.trained_on)
    several = {setting for (setting, _, _), found in pools.items() if len(found) > 1}

    def label(work_item: WorkItem, roi: Roi) -> str:
        of_pool = isinstance(work_item, Trial) and setting_of(work_item).digest in several
        pool = {"subjects": "+".join(one.subject for one in work_item.rois)} if of_pool else {}
        return join_label(method_on(work_item, roi), values[work_item.id] | pool)

    return label
