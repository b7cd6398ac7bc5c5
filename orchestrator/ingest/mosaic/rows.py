"""From trials to rows: which stimuli are read, on which side, and the trials of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from orchestrator.cli.errors import InputError
from orchestrator.ingest.mosaic.choices import MosaicChoices
from orchestrator.ingest.mosaic.names import SubjectKey
from orchestrator.ingest.mosaic.recordings import Recording, Trial
from orchestrator.ingest.mosaic.split_lists import SplitLists
from orchestrator.ingest.mosaic.stimulus_info import Stimulus
from orchestrator.ingest.splits import Split, given_split, split_images
from trainables.data.shards import TEST, TRAIN
from trainables.wording import some


@dataclass(frozen=True)
class Row:
    """One stimulus, and the trials that its responses are the mean of."""

    stimulus: Stimulus
    file: str
    """Name of the stimulus' file."""
    trials: tuple[str, ...]
    side: str | None
    """``train`` or ``test``; None where the split is not given by the data set."""


@dataclass(frozen=True)
class Rows:
    """A subject's rows, in the order of stimulus ids."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    """What was left out."""

    @property
    def stimuli(self) -> tuple[str, ...]:
        """Return the stimulus id of each row."""
        return tuple(row.stimulus.id for row in self.rows)


def plan_rows(
    where: Path,
    key: SubjectKey,
    recording: Recording,
    table: Mapping[str, Stimulus],
    choices: MosaicChoices,
    lists: SplitLists | None,
) -> Rows:
    """Group a subject's trials by stimulus, and decide each one's side where the data set does.

    where: the subject's file, for messages. lists: None unless they are the split. A
    stimulus of both phases is a test image. Raises InputError when nothing is left, or ids are not
    distinct.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in recording.trials:
        groups.setdefault(trial.stimulus, []).append(trial)
    left_out: dict[str, list[str]] = {}
    rows = []
    for file, trials in groups.items():
        stimulus = table[file]
        side = _side(key, file, trials, choices, lists)
        if reason := _reason_to_leave_out(stimulus, trials, side, choices):
            left_out.setdefault(reason, []).append(file)
            continue
        kept = [trial.name for trial in trials if side is None or _is_of(trial, side, choices)]
        rows.append(Row(stimulus, file, tuple(kept), side))
    rows.sort(key=lambda row: row.stimulus.id)
    _check(where, key, rows)
    notes = [_note(where, reason, files) for reason, files in left_out.items()]
    n_dropped = sum(len(groups[row.file]) - len(row.trials) for row in rows)
    if n_dropped:
        notes.append(
            f"{where}: left out {n_dropped:,} training trials of stimuli that are test images too"
        )
    return Rows(tuple(rows), tuple(notes))


def _note(where: Path, reason: str, files: Sequence[str]) -> str:
    return f"{where}: left out {len(files):,} stimuli, {reason}: {some(files[:3])}"


def _side(
    key: SubjectKey,
    file: str,
    trials: Sequence[Trial],
    choices: MosaicChoices,
    lists: SplitLists | None,
) -> str | None:
    """Return the side of a stimulus; None where the split is by stimulus, or a list lacks it."""
    if lists is not None:
        return lists.sides.get((key.name, file))
    if choices.split == "phase":
        return TEST if any(trial.phase == TEST for trial in trials) else TRAIN
    return None


def _is_of(trial: Trial, side: str, choices: MosaicChoices) -> bool:
    """Return whether a trial belongs to a side: in lists, all trials of a stimulus do."""
    return choices.split == "lists" or trial.phase == side


def _reason_to_leave_out(
    stimulus: Stimulus, trials: Sequence[Trial], side: str | None, choices: MosaicChoices
) -> str | None:
    """Return why a stimulus is not read; None where it is."""
    if choices.split == "lists":
        return None if side else "in none of the lists"
    if choices.test == "natural" and stimulus.is_artificial:
        return "artificial (--test artificial or all reads them)"
    is_test = any(trial.phase == TEST for trial in trials)
    if choices.test == "artificial" and is_test and not stimulus.is_artificial:
        return "natural test images, which --test artificial does not read"
    return None


def _check(where: Path, key: SubjectKey, rows: Sequence[Row]) -> None:
    """Raise InputError where no row is left, or two have one stimulus id."""
    if not rows:
        raise InputError(
            f"{where}: no stimulus of {key.name} is left; use another --split or --test, or leave "
            "the subject out"
        )
    pairs = pairwise(rows)
    same = [(one.file, two.file) for one, two in pairs if one.stimulus.id == two.stimulus.id]
    if same:
        raise InputError(
            *(
                f"{where}: the stimuli {one!r} and {two!r} have the same id; download the table of "
                "stimuli again"
                for one, two in same
            )
        )


def split_rows(rows: Rows, choices: MosaicChoices) -> Split:
    """Make the split of a subject's rows; raise InputError when a side is too small."""
    sides = [row.side for row in rows.rows]
    given = [side for side in sides if side is not None]
    if len(given) == len(sides):
        return given_split(choices.split, rows.stimuli, given)
    return split_images(choices.split, rows.stimuli)
