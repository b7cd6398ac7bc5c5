"""Report the progress of work to the terminal, to MLflow and to the record of failures."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from orchestrator.execution.cost import Costs
from orchestrator.execution.progress import Display
from orchestrator.execution.run_record import Publisher
from orchestrator.execution.setup import epochs_of
from orchestrator.execution.work_left import seconds_of
from orchestrator.tracking.background import Tracker
from trainables.exceptions import Failure
from trainables.results.event_log import TrialLog
from trainables.results.outcome import read_ended, write_failure
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores, summarise
from trainables.spec.evaluation import WorkItem
from trainables.storage.redaction import redact

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measure:
    """The number that the terminal shows for a finished trial."""

    read: Callable[[str], float | None]
    """Reads the number by the trial's id; None if there is none."""
    name: str
    none: str
    """Text to show if there is no number."""


def mean_r(runs: RunDirectory) -> Measure:
    """Make the measure of a trial's mean r, under its alphabetically first protocol."""

    def read(trial_id: str) -> float | None:
        summary = summarise(read_scores(runs, trial_id))
        means = [value for name, value in sorted(summary.items()) if name.endswith("_r_mean")]
        return means[0] if means else None

    return Measure(read, "mean r", "no score")


@dataclass(frozen=True)
class Monitor:
    """Makes the display and the watcher for the work that an executor runs."""

    console: Console
    tracker: Tracker
    costs: Costs
    runs: RunDirectory
    measure: Measure
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of trials for lines, by id."""
    failures: dict[str, str] = field(default_factory=dict)
    """The last line of each error so far, by trial id."""

    def say(self, text: str) -> None:
        """Print a line, with secrets redacted."""
        self.console.print(redact(text), highlight=False, markup=False, soft_wrap=True)

    def display(
        self,
        waiting: Sequence[WorkItem],
        progress: Callable[[], list[dict[str, Any]]],
        missing: Callable[[], str],
        *,
        redraws: bool = True,
    ) -> Display:
        """Make the display for some work.

        progress: returns the running trials. missing: describes what is missing for another worker.
        redraws: whether a terminal shows running trials in lines that are redrawn.
        """
        return Display(
            self.console,
            costs=seconds_of(waiting, self.costs, self.runs),
            epochs={one.id: epochs_of(one) for one in waiting},
            publish=Publisher(self.runs),
            failures=self.failures,
            progress=progress,
            score=self.measure.read,
            missing=missing,
            measure=self.measure.name,
            unscored=self.measure.none,
            redraws=redraws,
            names=self.names,
        )

    def watcher(self, display: Display, waiting: Sequence[WorkItem]) -> "Watcher":
        """Make the watcher for some work, which forwards how each trial ended."""
        return Watcher(display, self.tracker, {one.id: one for one in waiting}, self.runs)


@dataclass(frozen=True)
class Watcher:
    """Forwards the ends of trials to the terminal and MLflow, and writes failures to disk.

    An error here ends no trial, and is no trial's failure: it is logged.
    """

    display: Display
    tracker: Tracker
    trials: Mapping[str, WorkItem]
    runs: RunDirectory

    def finished(self, trial_id: str) -> None:
        """Show a finished trial and schedule it for mirroring."""
        with suppress(OSError):  # S3 is unreachable: missing files are fetched at the end
            self.runs.fetch_trial(self.trials[trial_id])
        self._report(trial_id, lambda: self.display.finished(trial_id))

    def failed(self, trial_id: str, failure: Failure) -> None:
        """Write a failed trial's outcome, show it, and schedule it for mirroring.

        A trial whose worker was lost after it had written a complete outcome is finished.
        """
        trial = self.trials[trial_id]
        with _logged(trial_id):
            with suppress(OSError):
                self.runs.fetch_trial(trial)
            if read_ended(self.runs, trial) is not None:
                self.finished(trial_id)
                return
        error = redact(failure.message)
        try:
            write_failure(self.runs, trial, failure)
        except (OSError, ValueError) as unwritten:
            error = f"{error.strip()} (and its outcome can't be written: {unwritten})"
        TrialLog(self.runs.log_file(trial_id)).note("given up", error=_last_line(error))
        self._report(trial_id, lambda: self.display.failed(trial_id, error))

    def _report(self, trial_id: str, show: Callable[[], None]) -> None:
        with _logged(trial_id):
            show()
        with _logged(trial_id):
            self.tracker.due([trial_id])


@contextmanager
def _logged(trial_id: str) -> Iterator[None]:
    """Log an error of a block instead of raising it."""
    try:
        yield
    except Exception as error:
        _logger.warning("%s has ended, but can't be shown: %s", trial_id, redact(str(error)))


def _last_line(error: str) -> str:
    return (error.strip().splitlines() or ["unknown"])[-1]
