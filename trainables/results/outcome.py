"""How a trial, or an evaluation, ended: one JSON each, for tracking and the next run to read."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

from trainables.exceptions import ErrorKind, Failure
from trainables.results.epoch_report import EpochReport
from trainables.spec.evaluation import WorkItem, read_work_item
from trainables.storage.atomic import write_text
from trainables.storage.redaction import redact

Status = Literal["finished", "failed", "stopped"]


@dataclass(frozen=True)
class Outcome:
    """A trial, or an evaluation, that has ended, well or not."""

    trial: WorkItem
    status: Status
    host: str
    device: str
    started: float
    """Seconds since 1970."""
    seconds: dict[str, float]
    """Time of each step: reading, finetuning, features, encoding."""
    history: tuple[EpochReport, ...] = ()
    error: str | None = None
    error_kind: ErrorKind | None = None
    """None unless it has failed."""

    def write(self, runs: Path) -> None:
        """Write the outcome beside and rename it, without the secrets that an error may tell."""
        content = {
            **asdict(self),
            "error": self.error and redact(self.error),
            "trial": json.loads(self.trial.to_json()),
            "trial_id": self.trial.id,
            "training_id": self.trial.training_id,
        }
        write_text(outcome_file(runs, self.trial.id), json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, runs: Path, trial_id: str) -> Self | None:
        """Read a trial's outcome; None when it has none yet.

        Raises ValueError naming the file when it is damaged.
        """
        path = outcome_file(runs, trial_id)
        try:
            content = json.loads(path.read_text())
            history = tuple(EpochReport(**report) for report in content.pop("history"))
            trial = read_work_item(json.dumps(content.pop("trial")))
            del content["trial_id"], content["training_id"]
            return cls(trial=trial, history=history, **content)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path}: not a trial's outcome ({error}); remove it") from error


def outcome_file(runs: Path, trial_id: str) -> Path:
    """Name the file of a trial's outcome."""
    return runs / "trials" / f"{trial_id}.json"


def failed(trial: WorkItem, failure: Failure) -> Outcome:
    """Make the outcome of a trial that could not be done."""
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
