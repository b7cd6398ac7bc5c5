"""The resources that a command requests for its workers. Nothing here imports Ray."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerResources:
    """The requested resources of each worker, and the number of workers and trials."""

    cpus: int = 1
    gpus: float | None = None
    """GPUs of a worker; None: one if the cluster has GPUs, else 0."""
    workers: int = 1
    """Workers that share each trial."""
    max_concurrent: int | None = None
    """Maximum number of trials at once; None: as many as fit."""
    share_gpus: bool = False
    """Whether as many trials share a GPU as fit in its memory."""
