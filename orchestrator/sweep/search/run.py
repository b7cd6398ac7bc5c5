"""Run a hyperparameter search round by round, from its settings to the file of results.

All state is derived from the trials' outcomes: before each round, the searcher is rebuilt from the
earlier rounds, and each ROI's scheduler from the epochs of its trials. The same command therefore
resumes a search that was killed.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import ray
from rich.console import Console

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import select
from orchestrator.cli.text import duration
from orchestrator.cluster.tune_adapter import Schedule, run_jobs
from orchestrator.cluster.worker_groups import QueueLost
from orchestrator.execution.monitor import Measure, Monitor
from orchestrator.execution.ray_executor import WarmQueue, connect_and_report, make_job, warm_queue
from orchestrator.execution.run_lock import acquire
from orchestrator.execution.setup import command_of, name_weights, read_costs
from orchestrator.sweep.hyperparameters import Found
from orchestrator.sweep.search.asha import RoiAsha
from orchestrator.sweep.search.rounds import Progress, Round, prime, scheduler_trial
from orchestrator.sweep.search.summary import (
    best_table,
    draw,
    freeze,
    standings,
    summarise_best,
    write_history,
)
from orchestrator.sweep.settings import SweepSettings
from orchestrator.sweep.spaces import start_from
from orchestrator.tracking.background import Tracker, start_tracker
from orchestrator.tracking.mlflow_runs import Sweep
from orchestrator.tracking.mlflow_store import tracking_uri
from trainables.data.shards import list_rois
from trainables.models.backbones import load
from trainables.results.outcome import Outcome
from trainables.results.provenance import code_version
from trainables.spec import Trial
from trainables.spec.search import Search
from trainables.storage.redaction import redact

SETTLE_SECONDS: Final = 0.1


def search_hyperparameters(settings: SweepSettings, search: Search, console: Console) -> list[str]:
    """Run a search up to its hyperparameter file; return the ids of the trials that failed.

    Raises InputError (or ValueError) for invalid input, before anything is run.
    """
    progress = _progress(settings, search)
    if settings.run.dry_run:
        _show_plan(settings, progress, console)
        return []
    with acquire(settings.run.runs, f"sweep {settings.space}"):
        return _SearchRun(settings, progress, console).run()


def _progress(settings: SweepSettings, search: Search) -> Progress:
    rois = search.choose_rois(select(list_rois(settings.run.data), settings.selection))
    if not rois:
        raise InputError(
            f"the data has no ROI of more than {search.min_vertices} vertices, streams left out"
        )
    weights = settings.run.locations.weights
    backbone = start_from(search.backbone, name_weights(weights))
    load(backbone, weights)  # raises here for what would fail on every worker
    return Progress(search, settings.searcher, rois, backbone, settings.run.runs)


def _show_plan(settings: SweepSettings, progress: Progress, console: Console) -> None:
    """Print what a search has done and what is left to do."""
    search, costs = progress.search, read_costs(settings.run)
    *_, current = progress.rounds()
    records = progress.records()
    n_trials = search.n_configurations * len(progress.rois)
    each = [costs.estimate(trial).seconds for _, trial in current.trials]
    left = (n_trials - len(records)) * fmean(each) if each else 0.0
    n_stopped = sum(one.stopped for one in records)
    for line in (
        f"{len(progress.rois)} ROIs of more than {search.min_vertices} vertices: "
        + ", ".join(roi.id for roi in progress.rois),
        f"{search.n_configurations} configurations by {progress.searcher} in {search.n_rounds} "
        f"rounds of {search.per_round}: {n_trials} trials, {len(records)} done "
        f"({n_stopped} stopped); in round {current.number + 1}",
        f"at most {duration(left)} of work is left, if no trial is stopped",
        f"results: {progress.home.address}",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@dataclass
class _SearchRun:
    """A running search."""

    settings: SweepSettings
    progress: Progress
    console: Console

    def run(self) -> list[str]:
        """Run the remaining rounds, mirror trials, and write the results when all have ended."""
        run, progress = self.settings.run, self.progress
        identity = Sweep(
            run.experiment or progress.rois[0].dataset,
            Path(self.settings.space).stem,
            run.data,
            run.runs,
            run.data.fingerprint(),
        )
        warnings: list[str] = []
        tracker = start_tracker(identity, warnings.append)
        failures: dict[str, str] = {}
        complete = False
        try:
            *_, first = progress.rounds()
            tracker.due([outcome.trial.id for _, outcome in progress.outcomes()])
            if self._waiting(first):
                failures = self._run_rounds(tracker)
            complete = not failures
        except QueueLost as lost:
            raise InputError(f"{lost}; run the same command again to resume") from lost
        finally:
            unlogged = tracker.close(complete=complete)
        if complete:
            self._conclude(identity)
        self._say(f"MLflow: {redact(tracking_uri())}, experiment {identity.experiment}")
        if unlogged:
            message = warnings[-1] if warnings else "MLflow could not be written"
            self._say(
                f"{message}; {len(set(unlogged))} trials are missing: run the same command again"
            )
        for trial_id, error in failures.items():
            self._say(f"failed (run the same command to retry it): {trial_id}: {error}")
        return list(failures)

    def _waiting(self, now: Round) -> list[Trial]:
        return [trial for _, trial in now.trials if self.progress.ended(trial) is None]

    def _run_rounds(self, tracker: Tracker) -> dict[str, str]:
        """Run round after round on the same warm groups; stop after a round with failures."""
        run, progress = self.settings.run, self.progress
        self._say(connect_and_report())
        costs = read_costs(run)
        largest = max(costs.estimate(trial).bytes for trial in progress.largest())
        n_trials = progress.search.per_round * len(progress.rois)
        with warm_queue(run, n_trials, largest, self._say, keep_backbones=False) as warm:
            for now in progress.rounds():
                progress.write_round(now)
                monitor = Monitor(self.console, tracker, costs, run.runs, self._measure)
                failures = self._run_round(now, warm, monitor)
                write_history(progress.home.path, progress.records())
                progress.remove_checkpoints(now)
                if failures:
                    return failures
        return {}

    def _run_round(self, now: Round, warm: WarmQueue, monitor: Monitor) -> dict[str, str]:
        """Run the waiting trials of a round; return the errors of failed ones, by id."""
        asha = RoiAsha(
            self.progress.search,
            {trial.id: scheduler_trial(trial) for _, trial in now.trials},
            partial(_stop, warm.queue),
        )
        waiting = prime(asha, self.progress, self._waiting(now))
        self._say(
            f"round {now.number + 1} of {self.progress.search.n_rounds}: {len(now.trials)} trials, "
            f"{len(now.trials) - len(waiting)} done"
        )
        if not waiting:
            return {}
        self._run_trials(now, waiting, warm, monitor, asha)
        monitor.tracker.due([one.id for one in waiting])  # stopped trials have an outcome only now
        lost = {trial.id for trial in waiting if self.progress.ended(trial) is None}
        for trial in waiting:
            if trial.id in lost - set(monitor.failures):
                monitor.failures[trial.id] = "its worker was lost before it wrote an outcome"
        return {one: error for one, error in monitor.failures.items() if one in lost}

    def _run_trials(
        self,
        now: Round,
        waiting: Sequence[Trial],
        warm: WarmQueue,
        monitor: Monitor,
        asha: RoiAsha,
    ) -> None:
        run, costs = self.settings.run, monitor.costs
        noun = f"trials of round {now.number + 1}"
        command_of(run, noun, [one for _, one in now.trials], waiting, costs).write(run.runs)
        stall_timeout, retries = run.options.stall_timeout, run.options.retries
        jobs = [make_job(one, costs, stall_timeout, awaits_scheduler=True) for one in waiting]
        # No proxy trial waits next to the running ones, so with one group the trials of an ROI are
        # compared in the order of the round.
        schedule = Schedule(warm.n, retries, run.runs.ray_storage)
        with monitor.display(waiting, warm.progress, warm.missing) as display:
            run_jobs(jobs, warm.queue, schedule, monitor.watcher(display, waiting), asha)
            _settle(warm.queue)

    @property
    def _measure(self) -> Measure:
        """Make the measure of finished trials' retrieval."""
        return Measure(self._top1, "top-1", "stopped")

    def _top1(self, trial_id: str) -> float | None:
        """Return a finished trial's retrieval; None if a stopped trial has no outcome yet."""
        outcome = Outcome.read(self.settings.run.runs, trial_id)
        if outcome is None or outcome.status != "finished":
            return None
        return outcome.history[-1].retrieval_top1

    def _conclude(self, identity: Sweep) -> None:
        """Write the best configuration, and show the results."""
        progress = self.progress
        *_, last = progress.rounds()
        records = progress.records()
        ranked = standings(progress.configurations, records)
        write_history(progress.home.path, records)
        ends = [o.started + sum(o.seconds.values()) for _, o in progress.outcomes()]
        found = Found(
            space=identity.space,
            searcher=progress.searcher,
            seed=progress.search.seed,
            rois=tuple(roi.id for roi in progress.rois),
            n_configurations=len(progress.configurations),
            best=summarise_best(ranked),
            validation=progress.search.validation,
            dataset_fingerprint=identity.fingerprint,
            code_version=code_version(),
            date=datetime.fromtimestamp(max(ends), UTC).isoformat(timespec="seconds"),
        )
        frozen = freeze(progress.home.path, ranked, found)
        figures = draw(progress.home.path, progress.study(last.number + 1), ranked)
        self.console.print(best_table(ranked))
        self._say(f"figures: {', '.join(str(path) for path in figures)}")
        self._say(f"hyperparameters: {frozen}")
        self._say(f"use them: python -m orchestrator.sweep paper --hyperparameters {frozen}")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def _stop(queue: Any, trial_id: str) -> None:
    queue.stop.remote(trial_id)


def _settle(queue: Any) -> None:
    """Wait until no trial runs: a stopped one writes its outcome after Tune has ended."""
    while ray.get(queue.running.remote()):
        time.sleep(SETTLE_SECONDS)
