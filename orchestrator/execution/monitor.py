"""Who hears how work goes: the terminal, MLflow's mirror, and the record of failures."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from orchestrator.execution.cost import Costs
from orchestrator.execution.progress import Display
from orchestrator.execution.run_record import Publisher
from orchestrator.execution.setup import epochs_of
from orchestrator.tracking.background import Tracker
from trainables.exceptions import Failure
from trainables.results.event_log import TrialLog
from trainables.results.outcome import failed
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores, summarise
from trainables.spec.evaluation import WorkItem


@dataclass(frozen=True)
class Measure:
    """The number that the terminal shows of a finished trial."""

    read: Callable[[str], float | None]
    """Reads it, by the trial's id; None where there is none."""
    name: str
    none: str
    """What is shown where there is none."""


def mean_r(runs: RunDirectory) -> Measure:
    """Show the mean r of a trial, under its first protocol by name."""

    def read(trial_id: str) -> float | None:
        summary = summarise(read_scores(runs, trial_id))
        means = [value for name, value in sorted(summary.items()) if name.endswith("_r_mean")]
        return means[0] if means else None

    return Measure(read, "mean r", "no score")


@dataclass(frozen=True)
class Monitor:
    """Makes, for the work that an executor runs, its display and its watcher."""

    console: Console
    tracker: Tracker
    costs: Costs
    runs: RunDirectory
    measure: Measure
    failures: dict[str, str] = field(default_factory=dict)
    """The last line of each error so far, by trial."""

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def display(
        self,
        waiting: Sequence[WorkItem],
        progress: Callable[[], list[dict[str, Any]]],
        missing: Callable[[], str],
        *,
        redraws: bool = True,
    ) -> Display:
        """Make the display of some work.

        progress: asks for what is running. missing: asks what is lacking for another worker.
        redraws: whether running trials are shown on a terminal, in lines that are drawn again.
        """
        return Display(
            self.console,
            costs={one.id: self.costs.estimate(one).seconds for one in waiting},
            epochs={one.id: epochs_of(one) for one in waiting},
            publish=Publisher(self.runs),
            failures=self.failures,
            progress=progress,
            score=self.measure.read,
            missing=missing,
            measure=self.measure.name,
            unscored=self.measure.none,
            redraws=redraws,
        )

    def watcher(self, display: Display, waiting: Sequence[WorkItem]) -> "Watcher":
        """Make what passes on how each of some work has ended."""
        return Watcher(display, self.tracker, {one.id: one for one in waiting}, self.runs)


@dataclass(frozen=True)
class Watcher:
    """Pass on what happens to the terminal and to MLflow, and write failures down."""

    display: Display
    tracker: Tracker
    trials: Mapping[str, WorkItem]
    runs: RunDirectory

    def finished(self, trial_id: str) -> None:
        """Show that a trial is done, and have it mirrored."""
        with suppress(OSError):  # S3 is away: what is missing here is copied at the end
            self.runs.fetch_trial(self.trials[trial_id])
        self.display.finished(trial_id)
        self.tracker.due([trial_id])

    def failed(self, trial_id: str, failure: Failure) -> None:
        """Write down that a trial has failed, show it, and have it mirrored."""
        error = failure.message
        try:
            failed(self.trials[trial_id], failure).write(self.runs)
        except OSError as full:
            error = f"{error} (which could not be written down: {full})"
        TrialLog(self.runs.log_file(trial_id)).note("given up", error=_last_line(error))
        self.display.failed(trial_id, error)
        self.tracker.due([trial_id])


def _last_line(error: str) -> str:
    return (error.strip().splitlines() or ["unknown"])[-1]
