"""Worker groups of one worker: plain Ray actors, with a new one for each whose process has died.

Such a group is one process. Ray Train, which coordinates several workers, would start five more
for each group, at seconds of CPU time.
"""

import logging
import os
import secrets
from typing import Any, Final

import ray

from orchestrator.cli.environment import WORKER, set_environment
from orchestrator.cluster.assigned_device import use_assigned_device
from orchestrator.cluster.capacity import WorkerGroupSize
from orchestrator.cluster.process_logs import log_to_stderr
from orchestrator.cluster.worker_loop import MakeRunner, serve

_logger = logging.getLogger(__name__)

RESTART: Final = 1
"""Exit code of a worker's process that is to be replaced."""


class GroupWorker:
    """The worker of a group of one, as an actor.

    If it can't be constructed, for example because its node lacks a module that make_runner needs,
    its group has ended for good.
    """

    def __init__(self, make_runner: MakeRunner) -> None:
        set_environment(WORKER)
        log_to_stderr()
        self._make_runner = make_runner
        self._device = use_assigned_device()

    def serve(self, queue: Any, group: str) -> None:
        """Serve the jobs of a queue until it ends this group; on an error, end this process."""
        from trainables.training.distributed import SINGLE_PROCESS

        try:
            serve(queue, group, self._make_runner(self._device, SINGLE_PROCESS), SINGLE_PROCESS)
        except Exception:
            _logger.exception("%s: this process ends, to be restarted", group)
            os._exit(RESTART)


class SingleWorkerGroup:
    """The handle of a group of one worker."""

    def __init__(
        self, queue: Any, make_runner: MakeRunner, size: WorkerGroupSize, name: str, restarts: int
    ) -> None:
        self.name = name
        self._queue = queue
        self._make_runner = make_runner
        self._size = size
        self._restarts = restarts
        self._worker: Any = None
        self._ended = False

    def run(self) -> None:
        """Serve the queue until it ends the group, with a new worker after each that has died.

        Raises RayActorError if a worker can't be constructed, or if too many have died.
        """
        for attempt in range(self._restarts + 1):
            worker = self._worker = self._start()
            try:
                ray.get(worker.serve.remote(self._queue, self.name))
            except ray.exceptions.RayActorError as error:
                ray.kill(worker)  # it may be alive, and out of reach
                if self._ended:
                    return
                if error.actor_init_failed or attempt == self._restarts:
                    raise
            else:
                return

    def _start(self) -> Any:
        """Request a worker, which starts where there are CPUs and GPUs for it."""
        named = ray.remote(GroupWorker).options(
            name=f"{self.name}-{secrets.token_hex(3)}",
            num_cpus=self._size.cpus,
            num_gpus=self._size.gpus,
        )
        return named.remote(self._make_runner)

    def end(self) -> None:
        """End the worker, whatever it does."""
        self._ended = True
        if self._worker is not None:
            ray.kill(self._worker)
