"""What is written down of the command that runs on a sweep's directory, for others to read.

``operation/command.json``: what was asked and planned. ``operation/running.json``: what the
workers are at, every few seconds. How trials ended is in their outcomes, as always.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from orchestrator.cli.errors import InputError
from orchestrator.execution.run_lock import OPERATION
from trainables.results.outcome import Outcome
from trainables.storage.atomic import write_text

PUBLISH_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Command:
    """A sweep, evaluation or search as it was started, and what it had to do."""

    module: str
    """``orchestrator.sweep`` or ``orchestrator.evaluate``."""
    arguments: tuple[str, ...]
    directory: str
    """Where it was started: paths of the arguments are relative to it."""
    started: float
    noun: str
    trials: tuple[str, ...]
    """Ids of all trials, in the order of the plan."""
    costs: Mapping[str, float]
    """Estimated seconds of each trial that was not."""
    epochs: Mapping[str, int]

    def write(self, runs: Path) -> None:
        """Write it beside and rename it."""
        write_text(runs / OPERATION / "command.json", json.dumps(asdict(self)) + "\n")

    @classmethod
    def read(cls, runs: Path) -> Self:
        """Read the last command on a directory; raise InputError where there was none."""
        path = runs / OPERATION / "command.json"
        try:
            content = json.loads(path.read_text())
            content["trials"], content["arguments"] = (
                tuple(content["trials"]),
                tuple(content["arguments"]),
            )
            return cls(**content)
        except FileNotFoundError:
            raise InputError(
                f"{runs}: no sweep has been run here; give --out the directory of one"
            ) from None
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path}: damaged ({error}); the next sweep command writes it anew"
            ) from error


@dataclass
class Publisher:
    """Writes down what the workers are at, every few seconds."""

    runs: Path
    _last: float = field(default=0.0)

    def __call__(self, running: Sequence[Mapping[str, Any]]) -> None:
        """Write the running trials; a disk that refuses it is asked again next time."""
        now = time.time()
        if now - self._last < PUBLISH_SECONDS:
            return
        self._last = now
        content = {"written": now, "running": list(running)}
        try:
            write_text(self.runs / OPERATION / "running.json", json.dumps(content) + "\n")
        except OSError:
            return


def read_running(runs: Path) -> tuple[float | None, list[dict[str, Any]]]:
    """Read what the workers were at, and when that was written; (None, []) where nothing is."""
    try:
        content = json.loads((runs / OPERATION / "running.json").read_text())
        return float(content["written"]), list(content["running"])
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None, []


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


def state_of(command: Command, runs: Path, now: float) -> State:
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
