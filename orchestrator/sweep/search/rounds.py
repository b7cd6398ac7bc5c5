"""The progress of a search, derived from its trials' outcomes: rounds, records, schedulers."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import optuna

from orchestrator.sweep.search.asha import RoiAsha, SchedulerTrial
from orchestrator.sweep.search.study import (
    Record,
    build_study,
    diverged,
    propose,
    rank_shares,
    record,
)
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone, Roi, Trial, digest, records
from trainables.spec.evaluation import training_of
from trainables.spec.fields import Measure, Size, Text
from trainables.spec.search import Hyperparameters, Search, Value, name_of
from trainables.storage.atomic import write_text
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.checkpoint_notes import read_history


@dataclass(frozen=True)
class Round:
    """Configurations proposed together, with a trial for each on each ROI, ordered by ROI."""

    number: int
    trials: tuple[tuple[str, Trial], ...]
    """(configuration, trial)."""


@records.record
class RoundFile:
    """The file of a round: its configurations, and the results its searcher had."""

    round: Size
    searcher: Text
    optuna: Text
    known: dict[Text, Measure]
    """Rank share of each configuration of earlier rounds."""
    configurations: dict[Text, Hyperparameters]


@dataclass
class Progress:
    """The progress of a search; every call reads the outcomes again."""

    search: Search
    searcher: str
    regions: Sequence[tuple[Roi, ...]]
    """What each training is fitted to: one ROI, or those that a pooled model is of."""
    backbone: Backbone
    runs: RunDirectory
    configurations: dict[str, dict[str, Value]] = field(default_factory=dict)

    @property
    def home(self) -> StoredDirectory:
        """The directory of the search's results."""
        rois = [(roi.id, roi.data) for rois in self.regions for roi in rois]
        content = [self.search.id, self.backbone.content, self.searcher, rois]
        return self.runs.search(digest(content))

    def rounds(self) -> Iterator[Round]:
        """Yield rounds, each proposed once the previous one has ended; stop if one has not."""
        self.configurations.clear()
        for number in range(self.search.n_rounds):
            new = self._read_round(number)
            if new is None:
                new = self._propose(number)
            self.configurations |= new
            now = Round(number, self._trials(list(new)))
            yield now
            if not all(self.ended(trial) for _, trial in now.trials):
                return

    def checkpoint(self, trial: Trial) -> StoredDirectory:
        """Return the directory of a trial's checkpoints, which is removed when the trial ends."""
        return self.runs.checkpoints(trial.training_id, of_search=True)

    def remove_checkpoints(self, now: Round) -> None:
        """Remove ended trials' checkpoints that no worker removed, such as diverged ones'."""
        for _, trial in now.trials:
            if self.ended(trial) is not None:
                self.checkpoint(trial).remove()

    def _propose(self, number: int) -> dict[str, dict[str, Value]]:
        n = min(self.search.per_round, self.search.n_configurations - len(self.configurations))
        return propose(self.study(number), self.search, n, self.configurations)

    def _round_file(self, number: int) -> Path:
        return self.home.path / f"round-{number:02d}.json"

    def write_round(self, now: Round) -> None:
        """Write a round's configurations and its searcher's input, once, before the round runs.

        Proposals also depend on Optuna's version; a resumed search keeps those of a begun round.
        """
        path = self._round_file(now.number)
        if path.exists():
            return
        new = list(dict.fromkeys(name for name, _ in now.trials))
        earlier = [one for one in self.records() if one.configuration not in new]
        content = RoundFile(
            round=now.number,
            searcher=self.searcher,
            optuna=optuna.__version__,
            known=rank_shares(earlier),
            configurations={n: records.build(Hyperparameters, self.configurations[n]) for n in new},
        )
        write_text(path, json.dumps(asdict(content), indent=1) + "\n")

    def _read_round(self, number: int) -> dict[str, dict[str, Value]] | None:
        """Read the configurations of a begun round; return None if it has not begun."""
        path = self._round_file(number)
        try:
            content = records.read_record(
                path,
                RoundFile,
                f"remove {self.home} and run the same command, which restarts the search with the "
                "finished trials",
            )
        except FileNotFoundError:
            return None
        found = [one.values for one in content.configurations.values()]
        return {name_of(values): values for values in found}

    def _trials(self, names: Sequence[str]) -> tuple[tuple[str, Trial], ...]:
        return tuple(
            (name, self.search.trial(self.configurations[name], rois, self.backbone))
            for rois in self.regions
            for name in names
        )

    def largest(self) -> list[Trial]:
        """List, for each ROI, the trial with the largest memory of all possible configurations."""
        values = self.search.ranges.largest
        return [self.search.trial(values, rois, self.backbone) for rois in self.regions]

    def study(self, round_number: int) -> optuna.Study:
        """Rebuild the searcher's study from the configurations of earlier rounds."""
        return build_study(
            self.search, self.searcher, round_number, self.configurations, self.records()
        )

    def ended(self, trial: Trial) -> Outcome | None:
        """Read a trial's outcome; return None if work is left to do for it."""
        outcome = Outcome.read(self.runs, trial.id)
        if outcome is None or (outcome.status == "failed" and not diverged(outcome)):
            return None
        return outcome

    def top1(self, trial_id: str) -> float | None:
        """Read a finished trial's retrieval; None if a stopped trial has no outcome yet."""
        outcome = Outcome.read(self.runs, trial_id)
        if outcome is None or outcome.status != "finished":
            return None
        return outcome.history[-1].retrieval_top1

    def outcomes(self) -> list[tuple[str, Outcome]]:
        """List the outcomes of ended trials of all configurations so far."""
        found = [(name, self.ended(one)) for name, one in self._trials(list(self.configurations))]
        return [(name, outcome) for name, outcome in found if outcome is not None]

    def records(self) -> list[Record]:
        """List the records of the ended trials."""
        return [record(name, outcome) for name, outcome in self.outcomes()]


def scheduler_trial(trial: Trial) -> SchedulerTrial:
    """Describe a trial for its ROI's scheduler."""
    return SchedulerTrial(trial.id, trial.place, int(getattr(trial.objective, "epochs")))  # noqa: B009


def prime(asha: RoiAsha, progress: Progress, waiting: Sequence[Trial]) -> list[Trial]:
    """Replay the reports of earlier runs, ended trials first; return the trials left to run.

    If a kill followed the decision to stop a trial, and its outcome was not written, it is ended
    here.
    """
    ended = sorted((outcome for _, outcome in progress.outcomes()), key=lambda one: one.started)
    for outcome in ended:
        asha.replay(scheduler_trial(training_of(outcome.trial)), outcome.history)
    left = []
    for trial in waiting:
        history = read_history(progress.checkpoint(trial))
        if asha.replay(scheduler_trial(trial), history):
            left.append(trial)
        else:
            Outcome(trial, "stopped", "", "", time.time(), {}, history).write(progress.runs)
    return left
