"""Ray Tune over the warm groups, for its schedulers: proxy trials that forward a job's reports."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ray
from ray import cloudpickle as pickle
from ray import tune
from ray.tune.execution import class_cache
from ray.tune.schedulers import TrialScheduler

from orchestrator.cli.errors import full_disk
from orchestrator.cluster.job_runner import QueueLost, Watcher
from orchestrator.cluster.jobs import Event, Job
from trainables.exceptions import ErrorKind, Failure

HEAD: Final = {"node:__internal_head__": 0.001}
"""Resources of a proxy trial: a small share of the head node, and no CPU that a group needs."""


class TrialFailed(Exception):  # noqa: N818  (the trial's outcome)
    """A trial ended with an error on its worker.

    args: the kind of error and its text, so that both are pickled.
    """

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Schedule:
    """How Tune runs jobs."""

    concurrent: int
    """Trials submitted at once."""
    retries: int
    scratch: str
    """Directory of Tune's files."""


def run_scheduled_jobs(
    jobs: Sequence[Job],
    queue: Any,
    schedule: Schedule,
    watcher: Watcher,
    scheduler: TrialScheduler,
) -> None:
    """Run all jobs through Tune, in order; return when all have ended.

    scheduler: decides from the reports which trials to stop. A stopped trial is reported to the
    watcher as finished, possibly before its worker has written the outcome. Raises
    KeyboardInterrupt on Ctrl-C, at once, QueueLost if the queue is gone, and InputError at the
    first trial that finds the disk full, since all others would.
    """
    by_id = {job.trial_id: job for job in jobs}
    _keep_credentials()
    stop = _Stop()
    trainable = tune.with_resources(
        tune.with_parameters(_proxy_trial, queue=queue, jobs=by_id), HEAD
    )
    tune.Tuner(
        trainable,
        param_space={"trial": tune.grid_search(list(by_id))},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=schedule.concurrent,
            scheduler=scheduler,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=f"tune-{time.time_ns()}",
            storage_path=schedule.scratch,
            failure_config=tune.FailureConfig(max_failures=schedule.retries),
            callbacks=[_Forward(watcher, stop)],
            stop=stop,
            verbose=0,
        ),
    ).fit()
    if stop.reason is not None:
        raise stop.reason


def _keep_credentials() -> None:
    """Keep Tune from giving its trials this process's AWS keys, which Ray writes to a log.

    Proxy trials need no keys, and there is no public argument for this.
    """
    keys = {name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")}
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(keys)


class _Stop(tune.Stopper):
    """Ends the experiment once a trial has found that no other can succeed."""

    def __init__(self) -> None:
        self.reason: Exception | None = None
        """What to raise when the experiment has ended; None: nothing."""

    def __reduce__(self) -> Any:
        """Pickle as a new object: Tune saves its stopper, which another process has no use for."""
        return (_Stop, ())

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return False: single trials are not stopped."""
        return False

    def stop_all(self) -> bool:
        """Return whether to stop all trials."""
        return self.reason is not None


def _proxy_trial(config: dict[str, Any], *, queue: Any, jobs: Mapping[str, Job]) -> None:
    for event in _listen(queue, jobs[config["trial"]]):
        tune.report(event)


def _listen(queue: Any, job: Job) -> Iterator[Event]:
    """Submit a job and yield its reports until it ends; drop the job if closed earlier.

    Raises TrialFailed with the worker's error if the job fails, QueueLost if the queue is gone.
    """
    try:
        ray.get(queue.submit.remote(job))
        number = 0
        while True:
            call = queue.next_event.options(name=job.name or job.trial_id)
            event: Event | None = ray.get(call.remote(job.trial_id, number))
            if event is None:
                continue
            if event.get("done"):
                if event["error"] is not None:
                    raise TrialFailed(event["kind"], event["error"])
                return
            number += 1
            yield event
    except ray.exceptions.RayActorError as error:
        raise QueueLost("the trial queue is gone") from error
    finally:
        queue.stop.remote(job.trial_id)


def _name(trial: Any) -> str:
    return str(trial.config["trial"])


class _Forward(tune.Callback):
    """Forwards the ends of Tune's trials to a watcher."""

    def __init__(self, watcher: Watcher, stop: _Stop) -> None:
        self._watcher = watcher
        self._stop = stop

    def __reduce__(self) -> Any:
        """Pickle as a plain callback: Tune saves its callbacks, but a terminal can't be pickled."""
        return (tune.Callback, ())

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Forward the end of a trial."""
        self._watcher.finished(_name(trial))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Check whether a retry could succeed."""
        self._ends_all(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Forward the failure of a trial that is not retried."""
        if not self._ends_all(trial):
            self._watcher.failed(_name(trial), _failure_of(trial))

    def _ends_all(self, trial: Any) -> bool:
        """Return whether the queue is gone or the disk full, and the experiment is to end."""
        raised = _raised_by(trial)
        if self._stop.reason is None and isinstance(raised, QueueLost):
            self._stop.reason = QueueLost("the process of the trial queue has ended")
        elif self._stop.reason is None and getattr(raised, "kind", None) == "disk-full":
            failure = _failure_of(trial)
            self._watcher.failed(_name(trial), failure)
            self._stop.reason = full_disk(failure)
        return self._stop.reason is not None


def _failure_of(trial: Any) -> Failure:
    """Return why a trial failed: its worker's error, or the loss of its proxy trial."""
    raised = _raised_by(trial)
    if isinstance(raised, TrialFailed):
        return Failure(raised.kind, raised.message)
    # Tune's get_error reads a copy that is made later, and lacks the last attempt.
    file = Path(trial.error_file or "")
    message = file.read_text(encoding="utf-8") if file.is_file() else str(trial.get_error())
    is_gone = isinstance(raised, ray.exceptions.RayActorError)
    return Failure("worker-lost" if is_gone else "unexpected", message)


def _raised_by(trial: Any) -> BaseException | None:
    """Read the exception of a trial's last attempt; None if Tune saved none."""
    file = Path(trial.pickled_error_file or "")
    if not file.is_file():
        return None
    error: BaseException = pickle.loads(file.read_bytes())
    cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else None
    return cause or error
