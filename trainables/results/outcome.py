"""How a trial or an evaluation ended: one JSON file each, read by tracking and later runs."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final, Literal, Self

from trainables.exceptions import ErrorKind, Failure
from trainables.results.complete_scores import is_scored
from trainables.results.epoch_report import EpochReport
from trainables.results.run_directory import RunDirectory
from trainables.spec.evaluation import AnyWorkItem, WorkItem
from trainables.spec.fields import Seconds, Text, Timestamp
from trainables.spec.records import read_record, record
from trainables.storage.atomic import write_text
from trainables.storage.redaction import redact
from trainables.storage.unchanged import CheckedFiles, FileState

Status = Literal["finished", "failed", "stopped"]

_OWN: Final = CheckedFiles()
"""Outcomes that are of the trials of their paths."""


@record
class Outcome:
    """The end of a trial or an evaluation: finished, stopped or failed."""

    _derived = ("trial_id", "training_id")

    trial: AnyWorkItem
    status: Status
    host: Text
    device: Text
    started: Timestamp
    seconds: dict[Text, Seconds]
    """Seconds of each step: reading, finetuning, features, encoding."""
    history: tuple[EpochReport, ...] = ()
    error: Text | None = None
    error_kind: ErrorKind | None = None
    """None unless the trial failed."""

    @property
    def trial_id(self) -> str:
        """Name the scores and the MLflow run."""
        return self.trial.id

    @property
    def training_id(self) -> str:
        """Name the checkpoint."""
        return self.trial.training_id

    def write(self, runs: RunDirectory) -> None:
        """Write the outcome atomically, with secrets in its error redacted."""
        content = {
            **asdict(self),
            "error": self.error and redact(self.error),
            "trial": json.loads(self.trial.to_json()),
            "trial_id": self.trial_id,
            "training_id": self.training_id,
        }
        write_text(runs.outcome_file(self.trial.id), json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, runs: RunDirectory, trial_id: str) -> Self | None:
        """Read a trial's outcome; return None if there is none yet, or that of another trial.

        Raises ValueError naming the file when it is damaged.
        """
        path = runs.outcome_file(trial_id)
        state = FileState.of(path)
        try:
            outcome = read_record(path, cls, "remove it")
        except FileNotFoundError:
            return None
        if outcome.trial_id != trial_id:
            return None
        _OWN.add(path, state)
        return outcome


def is_stranger(runs: RunDirectory, trial_id: str) -> bool:
    """Return whether the outcome at a trial's path is another trial's; a damaged one is not."""
    try:
        is_own = runs.outcome_file(trial_id) in _OWN or Outcome.read(runs, trial_id) is not None
    except ValueError:
        return False
    return not is_own


def read_outcomes(runs: RunDirectory) -> Iterator[Outcome]:
    """Read the outcomes of all trials and evaluations of a sweep, sorted by id.

    Raises ValueError naming a file that is damaged.
    """
    for trial_id in runs.trial_ids():
        outcome = Outcome.read(runs, trial_id)
        if outcome is not None:
            yield outcome


def read_finished(runs: RunDirectory) -> Iterator[Outcome]:
    """Read the outcomes of finished trials and evaluations, not of failed or stopped ones."""
    return (outcome for outcome in read_outcomes(runs) if outcome.status == "finished")


def read_ended(runs: RunDirectory, trial: WorkItem) -> Outcome | None:
    """Read the outcome of a trial that has ended: it was stopped, or finished with all its scores.

    Return None if work is left to do for it. Raises Denied if this user may not read its scores.
    """
    outcome = Outcome.read(runs, trial.id)
    if outcome is None or outcome.status == "failed":
        return None
    return outcome if outcome.status == "stopped" or has_scores(runs, trial) else None


def has_scores(runs: RunDirectory, trial: WorkItem) -> bool:
    """Return whether all ROIs of a trial are scored, or none are to be.

    Raises Denied if this user may not read them.
    """
    return trial.encoding is None or all(is_scored(runs, trial.id, roi.id) for roi in trial.rois)


def write_failure(runs: RunDirectory, trial: WorkItem, failure: Failure) -> bool:
    """Write the outcome of a failed trial, unless it has a better one; return whether it had none.

    An outcome of finished or stopped work stays: the failure of a later attempt takes nothing away.
    """
    known = Outcome.read(runs, trial.id)
    if known is not None and known.status != "failed":
        return False
    failed(trial, failure).write(runs)
    return True


def failed(trial: WorkItem, failure: Failure) -> Outcome:
    """Make the outcome of a failed trial."""
    return Outcome(
        trial,
        "failed",
        host="",
        device="",
        started=time.time(),
        seconds={},
        error=failure.message,
        error_kind=failure.kind,
    )
