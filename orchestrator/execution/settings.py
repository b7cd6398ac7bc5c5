"""Settings of a run: the locations of files, the resources of workers, and what is kept.

None of them changes a result. The settings of a sweep or an evaluation decide what is run.
"""

from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.cli.errors import InputError
from orchestrator.cli.process import Started
from orchestrator.cluster.address import cluster_address
from orchestrator.cluster.worker_resources import WorkerResources
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.training.checkpoint_notes import Keep


@dataclass(frozen=True)
class Locations:
    """The locations of a run's files."""

    data: DataDirectory
    """Directory of ingested shards."""
    runs: RunDirectory
    """Directory of scores, checkpoints and logs."""
    weights: Path | None = None
    """State dict that every backbone starts from."""


@dataclass(frozen=True)
class TrialOptions:
    """How each trial is run, and which of its files are kept."""

    retries: int = 1
    """Further attempts at a failed trial."""
    stall_timeout: float | None = None
    """Seconds that a trial may run without progress; None: by its estimated cost."""
    keep: Keep = "best"
    """Which weights of a training are kept."""
    removable: frozenset[str] = frozenset()
    """Ids of the trainings whose weights are removed once their trial has ended."""
    keep_predictions: bool = True


@dataclass(frozen=True)
class RunSettings:
    """How a sweep or an evaluation is run; raises InputError for contradictory settings."""

    locations: Locations
    resources: WorkerResources = field(default_factory=WorkerResources)
    options: TrialOptions = field(default_factory=TrialOptions)
    experiment: str | None = None
    """MLflow experiment; None: named by the data set."""
    local: bool = False
    """Whether trials run in this process, without Ray."""
    dashboard: bool = True
    """Whether a local Ray has its dashboard."""
    dry_run: bool = False
    started: Started = field(default_factory=Started)
    """The command line."""

    def __post_init__(self) -> None:
        if self.local:
            self._check_local()

    def _check_local(self) -> None:
        """Raise InputError for settings that only a cluster supports."""
        asked = self.resources
        flags = {
            f"--workers-per-trial {asked.workers}": asked.workers > 1,
            f"--max-concurrent {asked.max_concurrent}": (asked.max_concurrent or 1) > 1,
            "--share-gpus": asked.share_gpus,
            "--stall-timeout": self.options.stall_timeout is not None,
        }
        refused = [flag for flag, is_given in flags.items() if is_given]
        if refused:
            raise InputError(
                f"--local {' '.join(refused)}: trials run in this process, one after another; "
                f"omit {' and '.join(refused)}, or --local"
            )

    @property
    def data(self) -> DataDirectory:
        """The directory of ingested shards."""
        return self.locations.data

    @property
    def runs(self) -> RunDirectory:
        """The directory of scores, checkpoints and logs."""
        return self.locations.runs

    @property
    def on_cluster(self) -> bool:
        """Whether trials run on a cluster, whose nodes may differ from this machine."""
        return not self.local and bool(cluster_address())

    @property
    def max_concurrent(self) -> int | None:
        """The maximum number of trials at once; None: as many as fit."""
        return 1 if self.local else self.resources.max_concurrent
