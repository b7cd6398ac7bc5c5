"""The settings of one run of analyses. Nothing here imports Ray or torch."""

from dataclasses import dataclass
from pathlib import Path

from orchestrator.analyze.analysis import Analysis
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory


@dataclass(frozen=True)
class Workers:
    """The number of workers, and the resources of each."""

    cpus: int = 1
    gpus: float | None = None
    """None: one where the cluster has any, else none."""
    at_most: int | None = None
    local_cpus: int | None = None
    """CPUs of a local Ray; None: this machine's."""


@dataclass(frozen=True)
class Analysing:
    """The settings of one run of analyses."""

    analyses: tuple[Analysis, ...]
    runs: RunDirectory
    data: DataDirectory
    weights: Path | None
    experiment: str | None
    """MLflow's experiment; None: the data set of most trials."""
    task: str | None
    """Name of the image-classification task; None: the first ingested one."""
    feature_layer: str
    saliency_layer: str
    workers: Workers
    trust_code: bool = False
    """Whether to run code of users' files that the run directory holds."""
    is_named: bool = True
    """Whether analyses were named; else all are made, without the probes of those on request."""
