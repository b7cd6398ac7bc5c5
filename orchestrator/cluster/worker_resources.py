"""What a command asks for its workers. Nothing here imports Ray."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerResources:
    """The resources that a command asks for: of each worker, and how many there may be."""

    cpus: int = 1
    gpus: float | None = None
    """None: one where there is any."""
    workers: int = 1
    """Workers that share one trial."""
    max_concurrent: int | None = None
    """Trials at once; None: as many as fit."""
    share_gpus: bool = False
    """Whether as many trials share a GPU as its memory holds."""
