"""What is written down of the command that runs on a sweep's directory, for others to read.

``operation/command.json``: what was asked and planned. ``operation/running.json``: what the
workers are at, every few seconds. How trials ended is in their outcomes, as always.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator

from orchestrator.cli.errors import InputError
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec.fields import Measure, Seconds, Size, Text, Timestamp, one_of
from trainables.spec.records import read_record, record
from trainables.storage.atomic import write_text

PUBLISH_SECONDS: Final = 5.0


MODULES: Final = ("orchestrator.sweep", "orchestrator.evaluate")
"""Commands that are recorded, and that ``retry`` starts again."""


@record
class Command:
    """A sweep, evaluation or search as it was started, and what it had to do."""

    module: Annotated[Text, AfterValidator(one_of(("", *MODULES)))]
    """One of MODULES; "" for a command that was not started from a command line."""
    arguments: tuple[Text, ...]
    directory: Text
    """Where it was started: paths of the arguments are relative to it."""
    started: Timestamp
    noun: Text
    trials: tuple[Text, ...]
    """Ids of all trials, in the order of the plan."""
    costs: Mapping[Text, Seconds]
    """Estimated seconds of each trial that was not."""
    epochs: Mapping[Text, Size]

    def write(self, runs: RunDirectory) -> None:
        """Write it beside and rename it."""
        write_text(runs.command_file, json.dumps(asdict(self)) + "\n")

    @classmethod
    def read(cls, runs: RunDirectory) -> Self:
        """Read the last command on a directory; raise InputError where there was none."""
        path = runs.command_file
        try:
            return read_record(path, cls, "the next sweep command writes it anew")
        except FileNotFoundError:
            raise InputError(
                f"{runs}: no sweep has been run here; give --out the directory of one"
            ) from None


@record
class RunningTrial:
    """What a worker group was at: the fields of a job's progress."""

    trial_id: Text
    group: Text | None = None
    stage: Text = "waiting"
    epoch: Size = 0
    loss: Measure | None = None
    retrieval_top1: Measure | None = None
    images_per_second: Measure | None = None


@record
class Running:
    """What the workers were at, and when that was written."""

    written: Timestamp
    running: tuple[RunningTrial, ...]


@dataclass
class Publisher:
    """Writes down what the workers are at, every few seconds."""

    runs: RunDirectory
    _last: float = field(default=0.0)

    def __call__(self, running: Sequence[Mapping[str, Any]]) -> None:
        """Write the running trials; a disk that refuses it is asked again next time."""
        now = time.time()
        if now - self._last < PUBLISH_SECONDS:
            return
        self._last = now
        content = {"written": now, "running": list(running)}
        try:
            write_text(self.runs.running_file, json.dumps(content) + "\n")
        except OSError:
            return


def read_running(runs: RunDirectory) -> Running | None:
    """Read what the workers were at; None where nothing has been written."""
    path = runs.running_file
    try:
        return read_record(path, Running, "remove it; a running command writes it anew")
    except FileNotFoundError:
        return None


@dataclass(frozen=True)
class State:
    """How far a command's trials are."""

    done: tuple[str, ...]
    failed: Mapping[str, str]
    """The last line of each error."""
    left: tuple[str, ...]
    """Neither done nor failed."""
    ended: int
    """Trials that have ended since the command was started."""
    seconds_left: float | None
    """Estimated; None before the first trial has ended."""


def state_of(command: Command, runs: RunDirectory, now: float) -> State:
    """Read from the outcomes how far a command's trials are.

    A failure from before the command was started is one that it tries again.
    """
    done, failed, left = [], {}, []
    ended: list[str] = []
    for trial_id in command.trials:
        outcome = Outcome.read(runs, trial_id)
        if outcome is None or (outcome.status == "failed" and outcome.started < command.started):
            left.append(trial_id)
            continue
        if trial_id in command.costs and _end(outcome) >= command.started:
            ended.append(trial_id)
        if outcome.status == "failed":
            lines = (outcome.error or "").strip().splitlines()
            failed[trial_id] = lines[-1] if lines else "unknown"
        else:
            done.append(trial_id)
    cost_ended = sum(command.costs[one] for one in ended)
    cost_left = sum(command.costs.get(one, 0.0) for one in left)
    seconds = (now - command.started) * cost_left / cost_ended if cost_ended else None
    return State(tuple(done), failed, tuple(left), len(ended), seconds)


def _end(outcome: Outcome) -> float:
    return outcome.started + sum(outcome.seconds.values())
