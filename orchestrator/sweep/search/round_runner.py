"""Run the rounds of a search on warm worker groups."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import ray

from orchestrator.cluster.tune_adapter import Schedule, run_scheduled_jobs
from orchestrator.execution.gpu_service import multi_process_service
from orchestrator.execution.monitor import Measure, Monitor
from orchestrator.execution.narration import Narrator, names_of
from orchestrator.execution.ray_executor import WarmQueue, connect_to_ray, make_job, warm_queue
from orchestrator.execution.settings import RunSettings
from orchestrator.execution.setup import command_of, read_costs
from orchestrator.sweep.search.asha import RoiAsha
from orchestrator.sweep.search.rounds import Progress, Round, prime, scheduler_trial
from orchestrator.sweep.search.summary import write_history
from orchestrator.tracking.background import Tracker
from trainables.spec import Trial, WorkItem

SETTLE_SECONDS: Final = 0.1


@dataclass
class RoundRunner:
    """Run the remaining rounds of a search on the same warm groups."""

    settings: RunSettings
    progress: Progress
    narrator: Narrator
    tracker: Tracker
    names: dict[str, str]
    """Names of trials by their ids, for MLflow; filled before a trial is mirrored."""
    _named: dict[str, WorkItem] = field(default_factory=dict)

    def run(self) -> dict[str, str]:
        """Run the rounds until one has failures; return the errors of failed trials, by id."""
        *_, first = self.progress.rounds()
        ended = [outcome.trial for _, outcome in self.progress.outcomes()]
        self.name(ended)
        self.tracker.due([trial.id for trial in ended])
        if not self._waiting(first):
            return {}
        with multi_process_service(self.settings, self.narrator.say):
            return self._run_rounds()

    def name(self, trials: Sequence[WorkItem]) -> None:
        """Name trials, and those before, by what differs between all of them."""
        self._named.update({trial.id: trial for trial in trials})
        self.names.update(names_of(list(self._named.values()), "utf-8"))

    def _run_rounds(self) -> dict[str, str]:
        run, progress = self.settings, self.progress
        connect_to_ray(run)
        costs = read_costs(run)
        largest = max(costs.estimate(trial).bytes for trial in progress.largest())
        n_trials = progress.search.per_round * len(progress.regions)
        say = self.narrator.say
        with warm_queue(run, n_trials, largest, say, of_search=True) as warm:
            self.tracker.prepare()  # while the workers import their libraries
            for now in progress.rounds():
                progress.write_round(now)
                self.name([trial for _, trial in now.trials])
                measure = Measure(progress.top1, "top-1", "stopped")
                console = self.narrator.console
                names = names_of([trial for _, trial in now.trials], console.encoding)
                monitor = Monitor(console, self.tracker, costs, run.runs, measure, names)
                failures = self._run_round(now, warm, monitor)
                write_history(progress.home.path, progress.records())
                progress.remove_checkpoints(now)
                if failures:
                    return failures
        return {}

    def _waiting(self, now: Round) -> list[Trial]:
        return [trial for _, trial in now.trials if self.progress.ended(trial) is None]

    def _run_round(self, now: Round, warm: WarmQueue, monitor: Monitor) -> dict[str, str]:
        """Run the waiting trials of a round; return the errors of failed ones, by id."""
        asha = RoiAsha(
            self.progress.search,
            {trial.id: scheduler_trial(trial) for _, trial in now.trials},
            partial(_stop, warm.queue),
        )
        waiting = prime(asha, self.progress, self._waiting(now))
        self.narrator.say(
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
        run, costs = self.settings, monitor.costs
        noun = f"trials of round {now.number + 1}"
        command_of(run, noun, [one for _, one in now.trials], waiting, costs).write(run.runs)
        stall_timeout, retries = run.options.stall_timeout, run.options.retries
        jobs = [
            make_job(one, costs, stall_timeout, monitor.names, awaits_scheduler=True)
            for one in waiting
        ]
        # No proxy trial waits next to the running ones, so with one group the trials of an ROI are
        # compared in the order of the round.
        schedule = Schedule(warm.n, retries, warm.scratch)
        with monitor.display(waiting, warm.progress, warm.missing) as display:
            watcher = monitor.watcher(display, waiting)
            run_scheduled_jobs(jobs, warm.queue, schedule, watcher, asha)
            _settle(warm.queue)


def _stop(queue: Any, trial_id: str) -> None:
    queue.stop.remote(trial_id)


def _settle(queue: Any) -> None:
    """Wait until no trial runs: a stopped one writes its outcome after Tune has ended."""
    while ray.get(queue.running.remote()):
        time.sleep(SETTLE_SECONDS)
