"""Records of the command that runs on a sweep's directory, for other commands to read.

``operation/command.json``: the command line and its plan. ``operation/running.json``: the running
trials, every few seconds. How trials ended is recorded in their outcomes.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator

from orchestrator.cli import trust
from orchestrator.cli.errors import InputError
from orchestrator.cli.process import Started, command_line
from orchestrator.execution.command_history import remember
from trainables.results.outcome import Outcome, has_scores
from trainables.results.run_directory import RunDirectory
from trainables.spec.fields import Measure, Seconds, Size, Text, Timestamp, one_of
from trainables.spec.records import read_record, record
from trainables.storage.atomic import write_text
from trainables.storage.threads import map_reads

PUBLISH_SECONDS: Final = 5.0


MODULES: Final = ("orchestrator.sweep", "orchestrator.evaluate")
"""Commands that are recorded, and that ``retry`` can repeat."""


@record
class Command:
    """A sweep, evaluation or search: its command line and its planned trials."""

    module: Annotated[Text, AfterValidator(one_of(("", *MODULES)))]
    """One of MODULES; "" for a command that was not started from a command line."""
    arguments: tuple[Text, ...]
    directory: Text
    """Working directory, to which paths in the arguments are relative."""
    started: Timestamp
    noun: Text
    trials: tuple[Text, ...]
    """Ids of all trials, in the order of the plan."""
    costs: Mapping[Text, Seconds]
    """Estimated seconds of each trial that was not finished."""
    epochs: Mapping[Text, Size]
    earlier: Mapping[Text, Timestamp] = field(default_factory=dict)
    """When the outcome of a waiting trial was started, for those that had one before the command.
    (Other outcomes are of this command. Clocks of several machines are not compared.)"""

    def write(self, runs: RunDirectory) -> None:
        """Write the record atomically, and remember its line among those of earlier commands.

        The command is also remembered as the user's own on this machine, for `require_own`.
        """
        trust.remember(self._line)
        write_text(runs.command_file, json.dumps(asdict(self)) + "\n")
        remember(runs, command_line(Started(self.module, self.arguments)))

    @property
    def names_code(self) -> bool:
        """Return whether repeating the command runs code of files, or consents to it."""
        return any(".py" in one or "trust" in one for one in self.arguments)

    @property
    def _line(self) -> str:
        return json.dumps([self.module, self.arguments, self.directory])

    def require_own(self, runs: RunDirectory) -> None:
        """Raise InputError if repeating the command may run code that is not the user's own.

        That is a command with code, or of another directory than the present one, from which
        workers would import modules, unless the user started the same on this machine.
        """
        is_here = Path(self.directory).resolve() == Path.cwd().resolve()
        if trust.is_remembered(self._line) or (is_here and not self.names_code):
            return
        what, cure = f"its last command, in {self.directory},", "if you trust the code"
        if self.names_code:
            what += " runs code"
        else:
            what += " imports modules from there"
            cure = "run this in that directory, or if you trust what is in it"
        line = command_line(Started(self.module, self.arguments))
        raise InputError(
            f"{runs}: {what}: {line}; there is no record that you started it on this machine: "
            f"{cure}, give --trust-code"
        )

    @classmethod
    def read(cls, runs: RunDirectory) -> Self:
        """Read the last command on a directory; raise InputError if there was none."""
        path = runs.command_file
        try:
            return read_record(path, cls, "the next sweep command writes it again")
        except FileNotFoundError:
            raise InputError(
                f"{runs}: no sweep has been run here; give --out the directory of one"
            ) from None


@record
class RunningTrial:
    """A running trial: the fields of a job's progress, and its name in lines."""

    trial_id: Text
    name: Text = ""
    group: Text | None = None
    stage: Text = "waiting"
    epoch: Size = 0
    loss: Measure | None = None
    retrieval_top1: Measure | None = None
    images_per_second: Measure | None = None


@record
class Running:
    """The running trials, and when they were written."""

    written: Timestamp
    running: tuple[RunningTrial, ...]
    seconds_left: Seconds | None = None
    """Estimated seconds from then until all trials have ended; None before one has finished."""


@dataclass
class Publisher:
    """Writes the running trials to disk every few seconds."""

    runs: RunDirectory
    _last: float = field(default=0.0)

    def __call__(
        self, running: Sequence[Mapping[str, Any]], seconds_left: float | None = None
    ) -> None:
        """Write the running trials; if that fails, try again at the next call."""
        now = time.time()
        if now - self._last < PUBLISH_SECONDS:
            return
        self._last = now
        content = {"written": now, "running": list(running), "seconds_left": seconds_left}
        try:
            write_text(self.runs.running_file, json.dumps(content) + "\n")
        except OSError:
            return


def read_running(runs: RunDirectory) -> Running | None:
    """Read the running trials; return None if none were written."""
    path = runs.running_file
    try:
        return read_record(path, Running, "remove it; a running command writes it again")
    except FileNotFoundError:
        return None


@dataclass(frozen=True)
class State:
    """The state of a command's trials."""

    done: tuple[str, ...]
    failed: Mapping[str, str]
    """The last line of each error, by trial id."""
    left: tuple[str, ...]
    """Neither done nor failed."""
    ended: int
    """Trials that ended since the command was started."""


def _ended(command: Command, runs: RunDirectory, trial_id: str) -> Outcome | None:
    """Read the outcome of a trial that has ended in a command; None if it is left to do."""
    outcome = Outcome.read(runs, trial_id)
    if outcome is None or outcome.started == command.earlier.get(trial_id):
        return None
    is_left = outcome.status == "finished" and not has_scores(runs, outcome.trial)
    return None if is_left else outcome


def state_of(command: Command, runs: RunDirectory) -> State:
    """Derive the state of a command's trials from their outcomes and scores.

    A waiting trial whose outcome is of an earlier command counts as left: it is tried again, or has
    further ROIs to score. So does a finished one whose scores were removed or damaged.

    Raises Denied if this user may not read them.
    """
    done, failed, left, n_ended = [], {}, [], 0
    outcomes = map_reads(lambda one: _ended(command, runs, one), command.trials)
    for trial_id, outcome in zip(command.trials, outcomes, strict=True):
        if outcome is None:
            left.append(trial_id)
            continue
        n_ended += trial_id in command.costs
        if outcome.status == "failed":
            lines = (outcome.error or "").strip().splitlines()
            failed[trial_id] = lines[-1] if lines else "unknown"
        else:
            done.append(trial_id)
    return State(tuple(done), failed, tuple(left), n_ended)
