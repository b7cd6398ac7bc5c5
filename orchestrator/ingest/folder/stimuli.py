"""Which images there are (stimuli.csv), and which was shown at each presentation."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.folder.columns import (
    Columns,
    as_integers,
    read_columns,
    require_filled,
)
from trainables.data.shards import TEST, TRAIN
from trainables.wording import some

STIMULI: Final = "stimuli.csv"
IMAGES: Final = "images"
PRESENTATIONS: Final = "presentations.csv"
READ: Final = ("stimulus_id", "repetition", "session", "run", "trial", "n_trials")
"""Columns of presentations.csv that are read, or known to need no reading."""

Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Stimuli:
    """The rows of stimuli.csv."""

    path: Path
    ids: tuple[str, ...]
    images: tuple[Path, ...]
    sides: tuple[str, ...] | None
    """``train`` or ``test`` of each; None without a column ``split``."""


@dataclass(frozen=True)
class Presentations:
    """What each row of the responses is a response to."""

    path: Path
    stimulus: Integers
    """(n_rows,) rows of stimuli.csv."""
    session: Integers
    """(n_rows,) number of the session, counted from 0 in the order of their names."""
    n_trials: Integers | None
    """(n_rows,) trials that a row is the mean of; None where that is not known."""
    unread: tuple[str, ...] = ()
    """Columns of presentations.csv that mean nothing here."""

    @property
    def n_sessions(self) -> int:
        """Count the sessions."""
        return int(self.session.max()) + 1


def read_stimuli(source: Path) -> Stimuli:
    """Read stimuli.csv; raise InputError for one that is no table of distinct stimuli."""
    path = source / STIMULI
    columns = read_columns(path, "stimuli", ("stimulus_id", "filename"))
    require_filled(path, columns, ("stimulus_id", "filename"))
    ids = tuple(columns["stimulus_id"])
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise InputError(
            f"{path}: {some(twice)} {'are' if len(twice) > 1 else 'is'} there twice; keep one row "
            "per stimulus, and repeats in presentations.csv"
        )
    images = tuple(_place(source, name) for name in columns["filename"])
    return Stimuli(path, ids, images, _sides(path, columns))


def _place(source: Path, name: str) -> Path:
    """Return the path of an image, named from images/ or from the folder of the data set."""
    parts = Path(name.replace("\\", "/")).parts
    return source / IMAGES / Path(*(parts[1:] if parts[0] == IMAGES else parts))


def _sides(path: Path, columns: Columns) -> tuple[str, ...] | None:
    if "split" not in columns:
        return None
    sides = tuple(side.lower() for side in columns["split"])
    other = sorted(set(sides) - {TRAIN, TEST})
    if other:
        raise InputError(
            f"{path}: split is {some([repr(one) for one in other])}; expected train or test in "
            "each row: correct it, or remove the column"
        )
    return sides


def read_presentations(
    folder: Path, given: Columns | None, stimuli: Stimuli, n_rows: int, *, averaged: bool
) -> Presentations:
    """Read a subject's presentations.csv, or what its assembly gives instead.

    Without either, the rows are those of stimuli.csv. n_rows: of the responses. Raises InputError
    for another number of rows, unknown stimuli, or repeats of data that are averaged already.
    """
    path = folder / PRESENTATIONS
    if path.exists():
        columns = read_columns(path, "presentations", ("stimulus_id",))
    elif given and "stimulus_id" in given:
        columns = given
    else:
        columns, path = {"stimulus_id": stimuli.ids}, stimuli.path
    require_filled(path, columns, ("stimulus_id",))
    shown = columns["stimulus_id"]
    if len(shown) != n_rows:
        raise InputError(
            f"{path}: {len(shown):,} rows, but the responses in {folder} have {n_rows:,}; give one "
            "row per row of the responses"
        )
    places = {name: row for row, name in enumerate(stimuli.ids)}
    unknown = [name for name in dict.fromkeys(shown) if name not in places]
    if unknown:
        raise InputError(
            f"{path}: not in {stimuli.path.name}: {some(unknown)}; "
            "add them there, with their images"
        )
    stimulus = np.array([places[name] for name in shown])
    if averaged:
        _require_once(path, shown)
    trials = None if averaged else [1] * n_rows
    if averaged and "n_trials" in columns:
        trials = as_integers(path, columns, "n_trials", 1)
    session = _sessions(path, columns, stimulus)
    _require_repetitions(path, columns, shown)
    counts = None if trials is None else np.array(trials)
    unread = tuple(name for name in columns if name not in READ)
    return Presentations(path, stimulus, session, counts, unread if columns is not given else ())


def _sessions(path: Path, columns: Columns, stimulus: Integers) -> Integers:
    if "session" not in columns:
        return np.zeros(len(stimulus), np.int64)
    require_filled(path, columns, ("session",))
    names = sorted(set(columns["session"]))
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[name] for name in columns["session"]])


def _require_once(path: Path, shown: Sequence[str]) -> None:
    twice = [name for name, count in Counter(shown).items() if count > 1]
    if twice:
        raise InputError(
            f"{path}: several rows of {some(twice)}, but dataset.json "
            "calls the data averaged; set averaged to false there, or average them"
        )


def _require_repetitions(path: Path, columns: Columns, shown: Sequence[str]) -> None:
    """Check that the repetitions of a stimulus, where they are given, are different ones."""
    if "repetition" not in columns:
        return
    numbers = as_integers(path, columns, "repetition")
    twice = [pair for pair, n in Counter(zip(shown, numbers, strict=True)).items() if n > 1]
    if twice:
        name, number = twice[0]
        raise InputError(
            f"{path}: repetition {number} of {name} is there twice ({len(twice):,} such); number "
            "the repetitions of each stimulus from 0"
        )
