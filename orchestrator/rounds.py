"""A search as far as the outcomes of its trials tell: rounds, records, schedulers rebuilt."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import optuna

from orchestrator.cell_asha import CellAsha, Judged
from orchestrator.searching import Record, build_study, diverged, propose, record
from trainables.checkpoints import read_history
from trainables.evaluation import setting_source
from trainables.outcome import Outcome
from trainables.search import Search, Value
from trainables.spec import Cell, Trial, Trunk, digest


@dataclass(frozen=True)
class Round:
    """Configurations that are tried together, and a trial for each on each cell, cell by cell."""

    number: int
    trials: tuple[tuple[str, Trial], ...]
    """(configuration, trial)."""


@dataclass
class Progress:
    """A search as far as its outcomes tell; asking again reads them again."""

    search: Search
    searcher: str
    cells: Sequence[Cell]
    trunk: Trunk
    runs: Path
    configurations: dict[str, dict[str, Value]] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """Name the directory of what the search ends in."""
        cells = [(cell.id, cell.data) for cell in self.cells]
        content = [repr(self.search), repr(self.trunk), self.searcher, cells]
        return self.runs / "tuning" / digest(content)

    def rounds(self) -> Iterator[Round]:
        """Yield the rounds, each proposed when the one before has ended; stop where one has not."""
        self.configurations.clear()
        for number in range(self.search.n_rounds):
            n = min(self.search.per_round, self.search.n_configurations - len(self.configurations))
            study, known = self.study(number), self.configurations
            known |= propose(study, self.search, n, known)
            now = Round(number, self._trials(list(known)[number * self.search.per_round :]))
            yield now
            if not all(self.ended(trial) for _, trial in now.trials):
                return

    def _trials(self, names: Sequence[str]) -> tuple[tuple[str, Trial], ...]:
        return tuple(
            (name, self.search.trial(self.configurations[name], cell, self.trunk))
            for cell in self.cells
            for name in names
        )

    def study(self, round_number: int) -> optuna.Study:
        """Rebuild the searcher's study from the configurations that there are."""
        return build_study(
            self.search, self.searcher, round_number, self.configurations, self.records()
        )

    def ended(self, trial: Trial) -> Outcome | None:
        """Read a trial's outcome, if nothing is left to do for it."""
        outcome = Outcome.read(self.runs, trial.id)
        if outcome is None or (outcome.status == "failed" and not diverged(outcome)):
            return None
        return outcome

    def outcomes(self) -> list[tuple[str, Outcome]]:
        """List the ended trials of all configurations so far."""
        found = [(name, self.ended(one)) for name, one in self._trials(list(self.configurations))]
        return [(name, outcome) for name, outcome in found if outcome is not None]

    def records(self) -> list[Record]:
        """List what the ended trials found."""
        return [record(name, outcome) for name, outcome in self.outcomes()]


def judged(trial: Trial) -> Judged:
    """Describe a trial to its cell's scheduler."""
    return Judged(trial.id, trial.cells[0].id, int(getattr(trial.objective, "epochs")))  # noqa: B009


def prime(asha: CellAsha, progress: Progress, waiting: Sequence[Trial]) -> list[Trial]:
    """Replay what earlier runs reported, ended trials first; return the trials left to run.

    A trial whose stop was decided, but not written down before a kill, is ended here.
    """
    ended = sorted((outcome for _, outcome in progress.outcomes()), key=lambda one: one.started)
    for outcome in ended:
        asha.replay(judged(setting_source(outcome.trial)), outcome.history)
    left = []
    for trial in waiting:
        history = read_history(progress.runs / "checkpoints" / trial.training_id)
        if asha.replay(judged(trial), history):
            left.append(trial)
        else:
            Outcome(trial, "stopped", "", "", time.time(), {}, history).write(progress.runs)
    return left
