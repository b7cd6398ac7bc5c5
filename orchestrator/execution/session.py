"""Run a plan on warm workers: mirror it in MLflow, show it, and end with tables and messages."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import ray
from rich.console import Console, RenderableType

from orchestrator.cli.errors import InputError
from orchestrator.cluster.capacity import WorkerGroupSize, size_worker_groups
from orchestrator.cluster.ordering import round_robin
from orchestrator.cluster.trial_queue import start_queue
from orchestrator.cluster.tune_adapter import Schedule, run_jobs, scratch_of
from orchestrator.cluster.utilisation import describe_utilisation
from orchestrator.cluster.watchdog import watched
from orchestrator.cluster.worker_groups import QueueLost, warm_worker_groups
from orchestrator.execution.cost import Costs
from orchestrator.execution.plan import Plan, make_plan
from orchestrator.execution.progress import Display
from orchestrator.execution.run_record import Command, Publisher
from orchestrator.execution.settings import SweepSettings
from orchestrator.execution.setup import (
    connect_and_report,
    epochs_of,
    make_job,
    outcomes,
    run_context_of,
)
from orchestrator.tracking.background import Tracker, start_tracker
from orchestrator.tracking.mlflow_runs import Sweep, tracking_uri
from trainables.data.shards import fingerprint
from trainables.results.event_log import TrialLog, log_file
from trainables.results.outcome import failed, outcome_file
from trainables.results.score_files import read_scores, summarise
from trainables.spec.evaluation import WorkItem
from trainables.storage.atomic import hash_file
from trainables.storage.redaction import redact
from trainables.storage.s3_mirror import address, is_large, pull
from trainables.worker.runner import TrialRunner

MAX_QUEUES: Final = 5
"""How many queues a sweep goes through, each of whose processes has died."""


def _main_dataset(trials: Sequence[WorkItem]) -> str:
    """Name the data set of most trials: MLflow's experiment, whatever else is ingested later."""
    return Counter(trial.rois[0].dataset for trial in trials).most_common(1)[0][0]


@dataclass
class Running:
    """A planned sweep, or evaluation, under way."""

    settings: SweepSettings
    plan: Plan
    costs: Costs
    console: Console
    closing: Callable[[], Iterable[RenderableType]]
    """Makes the tables to end with."""
    command: str = "sweep"
    noun: str = "trials"
    """What is counted."""

    def run(self) -> list[str]:
        """Run what waits; mirror, compare and conclude, also when interrupted."""
        settings, plan = self.settings, self.plan
        identity = Sweep(
            settings.experiment or _main_dataset(plan.trials),
            Path(settings.space).stem,
            settings.data,
            settings.out,
            fingerprint(settings.data),
            self.command,
            hash_file(settings.hyperparameters)[:16] if settings.hyperparameters else None,
        )
        warnings: list[str] = []
        tracker = start_tracker(identity, warnings.append)
        tracker.due([outcome.trial.id for outcome in outcomes(settings.out, plan.trials)])
        n_trials, n_waiting = len(plan.trials), len(plan.waiting)
        self._say(f"{n_trials} {self.noun}: {plan.n_done} done, {n_waiting} to run")
        for note in plan.notes:
            self._say(note)
        failures: Mapping[str, str] = {}
        complete = False
        try:
            if plan.waiting:
                failures = self._run_waiting(tracker)
            complete = not failures
        finally:
            with suppress(OSError):  # S3 is away: the next command shows what is missing here
                pull(settings.out, skip=is_large)
            unlogged = tracker.close(complete=complete)
            self._show_scores()
            self._say_where(identity.experiment)
            self._say_what_is_missing(failures, unlogged, warnings)
        return list(failures)

    def _run_waiting(self, tracker: Tracker) -> Mapping[str, str]:
        """Run what waits; where the queue is lost, go on with another one."""
        self._say(connect_and_report())
        self._command().write(self.settings.out)
        failures: dict[str, str] = {}
        for _ in range(MAX_QUEUES):
            try:
                failures |= self._run_worker_groups(tracker, failures)
            except QueueLost as lost:
                self._say(f"{lost}; going on with a new one")
                left = make_plan(self.plan.trials, self.settings.out, self.costs).waiting
                asked = {one.id for one in self.plan.waiting} - set(failures)
                self.plan = replace(self.plan, waiting=tuple(t for t in left if t.id in asked))
                if not self.plan.waiting:
                    return failures
            else:
                return failures
        raise InputError(
            f"the queue's process has ended {MAX_QUEUES} times; see that the head node has memory"
        )

    def _run_worker_groups(self, tracker: Tracker, failures: dict[str, str]) -> Mapping[str, str]:
        """Run what waits through one queue; return what failed, which failures has already."""
        settings, plan = self.settings, self.plan
        largest = max(self.costs.estimate(work_item).bytes for work_item in plan.waiting)
        sized = size_worker_groups(settings.asked, len(plan.waiting), largest)
        size, n_worker_groups = sized.size, sized.n
        if sized.note:
            self._say(sized.note)
        scratch = scratch_of(settings.out)
        queue = start_queue(settings.retries, n_worker_groups)
        ordered = round_robin(plan.waiting, n_worker_groups, lambda work_item: work_item.shards)
        jobs = [make_job(work_item, self.costs, settings.stall_timeout) for work_item in ordered]
        schedule = Schedule(2 * n_worker_groups, settings.retries, scratch)
        display = self._display(queue, size, failures)
        watcher = Watcher(display, tracker, {t.id: t for t in plan.waiting}, settings.out)
        make_runner = partial(TrialRunner, run_context_of(settings, size))
        groups = warm_worker_groups(queue, make_runner, size, n_worker_groups, scratch)
        began = time.time()
        with display, groups, watched(queue):
            run_jobs(jobs, queue, schedule, watcher)
            ended = time.time()
        if message := describe_utilisation(
            outcomes(settings.out, plan.waiting), n_worker_groups, began, ended
        ):
            self._say(message)
        return display.failures

    def _command(self) -> Command:
        """Describe what is run, for who looks at the sweep from elsewhere."""
        return Command(
            module=self.settings.started.module,
            arguments=self.settings.started.arguments,
            directory=str(Path.cwd()),
            started=time.time(),
            noun=self.noun,
            trials=tuple(trial.id for trial in self.plan.trials),
            costs={trial.id: self.costs.estimate(trial).seconds for trial in self.plan.waiting},
            epochs={t.id: epochs_of(t) for t in self.plan.waiting},
        )

    def _display(self, queue: Any, size: WorkerGroupSize, failures: dict[str, str]) -> Display:
        return Display(
            self.console,
            costs={trial.id: self.costs.estimate(trial).seconds for trial in self.plan.waiting},
            epochs={t.id: epochs_of(t) for t in self.plan.waiting},
            publish=Publisher(self.settings.out),
            failures=failures,
            progress=lambda: ray.get(queue.running.remote(), timeout=5),
            score=self._score,
            missing=lambda: size.missing(ray.available_resources()),  # type: ignore[no-untyped-call]
        )

    def _score(self, trial_id: str) -> float | None:
        """Give a finished trial's mean r, under its first protocol by name."""
        summary = summarise(read_scores(self.settings.out, trial_id))
        means = [value for name, value in sorted(summary.items()) if name.endswith("_r_mean")]
        return means[0] if means else None

    def _show_scores(self) -> None:
        for part in self.closing():
            self.console.print(part)

    def _say_where(self, experiment: str) -> None:
        out = address(self.settings.out)
        self._say(f"scores: {out}/scores   checkpoints: {out}/checkpoints")
        self._say(f"more tables: python -m orchestrator.scores --out {out} --help")
        self._say(f"MLflow: {redact(tracking_uri())}, experiment {experiment} (mlflow ui shows it)")

    def _say_what_is_missing(
        self, failures: Mapping[str, str], unlogged: Sequence[str], warnings: Sequence[str]
    ) -> None:
        if unlogged:
            self._say(warnings[-1] if warnings else "MLflow could not be written")
            self._say(
                f"{len(unlogged)} {self.noun} are not in MLflow yet; nothing is lost: "
                "run the same command again when it is back"
            )
        if failures:
            self._say(f"{len(failures)} {self.noun} failed; the same command tries them again:")
        for trial_id, error in failures.items():
            self._say(f"  {trial_id}: {error}")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def _last_line(error: str) -> str:
    return (error.strip().splitlines() or ["unknown"])[-1]


@dataclass(frozen=True)
class Watcher:
    """Pass on what happens to the terminal and to MLflow, and write failures down."""

    display: Display
    tracker: Tracker
    trials: Mapping[str, WorkItem]
    runs: Path

    def finished(self, trial_id: str) -> None:
        """Show that a trial is done, and have it mirrored."""
        log = log_file(self.runs, trial_id)
        for path in (outcome_file(self.runs, trial_id), self.runs / "scores" / trial_id, log):
            with suppress(OSError):  # S3 is away: what is missing here is copied at the end
                pull(path)
        self.display.finished(trial_id)
        self.tracker.due([trial_id])

    def failed(self, trial_id: str, error: str) -> None:
        """Write down that a trial has failed, show it, and have it mirrored."""
        try:
            failed(self.trials[trial_id], error, host="", device="").write(self.runs)
        except OSError as full:
            error = f"{error} (which could not be written down: {full})"
        TrialLog(log_file(self.runs, trial_id)).note("given up", error=_last_line(error))
        self.display.failed(trial_id, error)
        self.tracker.due([trial_id])
