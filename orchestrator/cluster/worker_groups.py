"""Warm worker groups: long-lived Ray Train workers that serve trial after trial.

Each group is one ``TorchTrainer`` whose workers take jobs from the queue until the sweep ends.
Tune's trials are proxies: they submit a job and forward its reports, so Tune schedules as usual.
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
from trainables.storage.redaction import redact

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer
from orchestrator.cluster.capacity import WorkerGroupSize

MAX_RESTARTS: Final = 1000
"""Restarts of a group over a whole sweep; the queue limits the attempts at each trial."""
JOIN_SECONDS: Final = 60.0
"""How long to wait for the groups to end after the queue was closed."""


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


class QueueLost(Exception):  # noqa: N818  (what happened to the machine, not to a trial)
    """The queue's process or its node is gone, so the state of the trials is unknown."""


@contextmanager
def warm_worker_groups(
    queue: Any, make_runner: MakeRunner, size: WorkerGroupSize, n_worker_groups: int, scratch: str
) -> Iterator[None]:
    """Run groups that serve the queue's jobs within the block; then end them and their workers.

    scratch: directory of Ray Train's files.
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
        left.set()  # interrupted: the groups' ends are expected
        raise
    try:
        ray.get(queue.close.remote(), timeout=JOIN_SECONDS)
    except ray.exceptions.RayActorError:
        left.set()  # the queue is gone, and the workers end by themselves
    deadline = time.monotonic() + JOIN_SECONDS
    for thread in threads:  # a group whose node died may wait forever for another
        thread.join(max(0.0, deadline - time.monotonic()))


def _run_worker_group(queue: Any, trainer: "TorchTrainer", left: threading.Event) -> None:
    """Run a group to its end; if it fails for good, fail its job."""
    try:
        trainer.fit()
    except Exception as error:  # the sweep continues with the other groups
        if not left.is_set():
            message = redact(f"worker group {trainer.run_config.name} ended: {error}")
            ray.get(queue.lose_worker_group.remote(trainer.run_config.name, message))


def _trainer(
    queue: Any, make_runner: MakeRunner, size: WorkerGroupSize, name: str, scratch: str
) -> "TorchTrainer":
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from orchestrator.cluster.group_backend import GroupConfig

    resources = {"CPU": size.cpus} | ({"GPU": size.gpus} if size.gpus else {})
    # Pickled here, so that the group's controller does not import the workers' code.
    pickled: bytes = pickle.dumps(make_runner)  # type: ignore[no-untyped-call]
    return TorchTrainer(
        serve,
        torch_config=GroupConfig(),
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
    """Submit a job and yield its reports until it ends; drop the job if closed earlier.

    Raises TrialFailed with the worker's error if the job fails, QueueLost if the queue is gone.
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
        raise QueueLost("the trial queue is gone") from error
    finally:
        queue.stop.remote(job.trial_id)
