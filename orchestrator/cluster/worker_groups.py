"""Warm worker groups: long-lived Ray Train workers that serve trial after trial.

Each group is one ``TorchTrainer`` whose workers ask the queue for jobs until the sweep ends.
Tune's trials are light: they submit a job and forward its reports, so Tune schedules as usual.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import ray
from ray import cloudpickle as pickle

from orchestrator.cli.process import WORKER_GROUP
from orchestrator.cluster.jobs import Event, Job
from orchestrator.cluster.worker_loop import MakeRunner, serve
from trainables.exceptions import ErrorKind

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer
from orchestrator.cluster.capacity import WorkerGroupSize

MAX_RESTARTS: Final = 1000
"""Restarts of a group over a whole sweep; the queue bounds how often one trial is tried."""
JOIN_SECONDS: Final = 60.0
"""For all groups to end, once the queue has told them."""


class TrialFailed(Exception):  # noqa: N818  (the trial's outcome)
    """A trial ended with an error on its worker.

    args: the kind of error, and its text, so that it is pickled with both.
    """

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return self.message


class QueueLost(Exception):  # noqa: N818  (what happened to the machine, not to a trial)
    """The queue's process, or its node, is gone: nothing can be said of the trials."""


@contextmanager
def warm_worker_groups(
    queue: Any, make_runner: MakeRunner, size: WorkerGroupSize, n_worker_groups: int, scratch: str
) -> Iterator[None]:
    """Keep groups serving the queue's jobs; end them, and all they hold, on leaving.

    scratch: path or address for Ray Train's own bookkeeping, on storage that all nodes share.
    """
    left = threading.Event()
    threads = [
        threading.Thread(
            target=_run_worker_group,
            args=(
                queue,
                _trainer(queue, make_runner, size, f"{WORKER_GROUP}{number}", scratch),
                left,
            ),
            name=f"{WORKER_GROUP}{number}",
            daemon=True,
        )
        for number in range(n_worker_groups)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    except BaseException:
        left.set()  # interrupted: nobody waits for trials, and no group is missed
        raise
    try:
        ray.get(queue.close.remote(), timeout=JOIN_SECONDS)
    except ray.exceptions.RayActorError:
        left.set()  # the workers find it gone, and end by themselves
    deadline = time.monotonic() + JOIN_SECONDS
    for thread in threads:  # one whose node has died may wait for another for ever
        thread.join(max(0.0, deadline - time.monotonic()))


def _run_worker_group(queue: Any, trainer: "TorchTrainer", left: threading.Event) -> None:
    """Run a group to its end; one that fails for good gives its job up."""
    try:
        trainer.fit()
    except Exception as error:  # the sweep goes on with the other groups
        if not left.is_set():
            message = f"worker group {trainer.run_config.name} ended: {error}"
            ray.get(queue.lose_worker_group.remote(trainer.run_config.name, message))


def _trainer(
    queue: Any, make_runner: MakeRunner, size: WorkerGroupSize, name: str, scratch: str
) -> "TorchTrainer":
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    resources = {"CPU": size.cpus} | ({"GPU": size.gpus} if size.gpus else {})
    # Pickled here, so that the group's controller need not import what its workers run.
    pickled: bytes = pickle.dumps(make_runner)  # type: ignore[no-untyped-call]
    return TorchTrainer(
        serve,
        train_loop_config={"queue": queue, "group": name, "make_runner": pickled},
        scaling_config=ScalingConfig(
            num_workers=size.workers, use_gpu=size.gpus > 0, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name=name,
            storage_path=scratch,
            failure_config=FailureConfig(max_failures=MAX_RESTARTS),
        ),
    )


def listen(queue: Any, job: Job) -> Iterator[Event]:
    """Submit a job and yield its reports until it is done; drop the job when left earlier.

    Raises TrialFailed with the worker's error when the job fails, QueueLost without a queue.
    """
    try:
        ray.get(queue.submit.remote(job))
        number = 0
        while True:
            call = queue.next_event.options(name=job.trial_id)
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
        raise QueueLost("the trials' queue is gone") from error
    finally:
        queue.stop.remote(job.trial_id)
