"""Run a plan through an executor: record it, mirror it in MLflow, and print closing messages."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, RenderableType

from orchestrator.cli.process import command_line
from orchestrator.cli.values import default_experiment
from orchestrator.execution.cost import Costs
from orchestrator.execution.executor import executor_for
from orchestrator.execution.gpu_service import multi_process_service
from orchestrator.execution.monitor import Monitor, mean_r
from orchestrator.execution.narration import Narrator, names_of
from orchestrator.execution.plan import Plan
from orchestrator.execution.settings import RunSettings
from orchestrator.execution.setup import command_of, outcomes
from orchestrator.execution.unkept_weights import removing_unkept
from orchestrator.tracking.background import start_tracker
from orchestrator.tracking.identity import Sweep
from trainables.data.shards import any_simulated


@dataclass(frozen=True)
class Label:
    """The names of a run, for messages and records."""

    command: str
    """``sweep`` or ``evaluate``."""
    name: str
    """The search space, or the kind of evaluation."""
    noun: str = "trials"
    """What is counted: ``trials`` or ``evaluations``."""
    hyperparameters: str | None = None
    """Digest of the hyperparameter file that the trials use, if one was given."""
    source: Path | None = None
    """File of the search space."""


@dataclass(frozen=True)
class Session:
    """A plan with everything needed to run it."""

    settings: RunSettings
    plan: Plan
    costs: Costs
    label: Label
    closing: Callable[[], Iterable[RenderableType]]
    """Makes the closing tables."""
    headline: Callable[[], Mapping[str, float]] = dict
    """Computes mean scores by name, for MLflow."""

    def run(self, console: Console) -> list[str]:
        """Run the waiting trials; mirror them and print closing messages, even if interrupted.

        Returns the ids of failed trials.
        """
        runs, narrator = self.settings.runs, Narrator(console, self.label.noun)
        names = names_of(self.plan.trials, console.encoding)
        tracked, warnings = self._tracked(names), list[str]()
        tracker = start_tracker(tracked, warnings.append)
        tracker.due([outcome.trial.id for outcome in outcomes(runs, self.plan.trials)])
        narrator.announce(self.plan)
        failures: dict[str, str] = {}
        complete = False
        try:
            if self.plan.waiting:
                with (
                    multi_process_service(self.settings, narrator.say),
                    removing_unkept(self.settings, self.plan) as settings,
                ):
                    executor = executor_for(settings, self.costs)
                    executor.connect(narrator.say)
                    self._write_record()
                    monitor = Monitor(console, tracker, self.costs, runs, mean_r(runs), names)
                    failures.update(executor.run(self.plan, monitor))
                    failures.update(self._without_outcome(failures))
            complete = not failures
        finally:
            with suppress(OSError):  # S3 is unreachable: the next command shows missing files
                runs.fetch()
            unlogged = tracker.close(complete=complete, numbers=self._numbers())
            narrator.show(self.closing)
            narrator.locate(runs, tracked.experiment)
            narrator.list_missing(failures, unlogged, warnings, names)
        return list(failures)

    def _numbers(self) -> dict[str, float]:
        """Count the trials by how they ended, and add the headline where it can be computed."""
        with suppress(Exception):  # a damaged file, which the closing tables name
            ended = Counter(one.status for one in outcomes(self.settings.runs, self.plan.trials))
            counts = {f"n_{state}": float(n) for state, n in ended.items()}
            return {"n_trials": float(len(self.plan.trials)), **counts, **self.headline()}
        return {}

    def _without_outcome(self, failures: Collection[str]) -> dict[str, str]:
        """Return an error for each trial that has run, and left no outcome in the run directory."""
        runs = self.settings.runs
        with suppress(OSError):
            runs.fetch()
        left = {one.id for one in self.plan.waiting} - set(failures)
        ended = {one.trial.id for one in outcomes(runs, self.plan.trials)}
        return {one: f"has no outcome in {runs}; was it moved or removed?" for one in left - ended}

    def _write_record(self) -> None:
        """Record the command and its plan, for other commands to read."""
        plan = self.plan
        command_of(self.settings, self.label.noun, plan.trials, plan.waiting, self.costs).write(
            self.settings.runs
        )

    def _experiment(self) -> str:
        """Name the default experiment, by the data set of most trials."""
        datasets = Counter(trial.rois[0].dataset for trial in self.plan.trials)
        shards = [shard for trial in self.plan.trials for shard in trial.shards]
        return default_experiment(
            datasets.most_common(1)[0][0], is_simulated=any_simulated(self.settings.data, shards)
        )

    def _tracked(self, names: Mapping[str, str]) -> Sweep:
        """Describe the run for MLflow; the experiment defaults to the data set of most trials."""
        return Sweep(
            self.settings.experiment or self._experiment(),
            self.label.name,
            self.settings.data,
            self.settings.runs,
            self.settings.data.fingerprint(),
            self.label.command,
            self.label.hyperparameters,
            names,
            command_line(self.settings.started),
            self.label.source,
        )
