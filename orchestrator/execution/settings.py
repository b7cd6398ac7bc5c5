"""How planned work is run: where its files are, on what it runs, and what is kept of it.

Nothing here changes a result. What is run is decided by the settings of a sweep or an evaluation.
"""

from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.cli.errors import InputError
from orchestrator.cli.process import Started
from orchestrator.cluster.worker_resources import WorkerResources
from trainables.results.run_directory import RunDirectory


@dataclass(frozen=True)
class Locations:
    """Where the files of a run are."""

    data: Path
    """Ingested shards."""
    runs: RunDirectory
    """Scores, checkpoints and logs."""
    weights: Path | None = None
    """A state dict for every backbone to start from."""


@dataclass(frozen=True)
class TrialOptions:
    """How each trial is run, and what is kept of it."""

    retries: int = 1
    """Further tries of a failed trial."""
    stall_timeout: float | None = None
    """Seconds that a trial may go without progress; None: by its cost."""
    keep_every_epoch: bool = False
    """Whether the weights of each epoch are kept, not only the last and the best."""
    keep_predictions: bool = True


@dataclass(frozen=True)
class RunSettings:
    """How a sweep or an evaluation is run; raise InputError for what can't be meant together."""

    locations: Locations
    resources: WorkerResources = field(default_factory=WorkerResources)
    options: TrialOptions = field(default_factory=TrialOptions)
    experiment: str | None = None
    """MLflow's experiment; None: the name of the data set."""
    local: bool = False
    """Whether trials run in this process, without Ray."""
    dry_run: bool = False
    started: Started = field(default_factory=Started)
    """The command line."""

    def __post_init__(self) -> None:
        if self.local:
            self._check_local()

    def _check_local(self) -> None:
        """Refuse what only a cluster can do."""
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
                f"leave out {' and '.join(refused)}, or --local"
            )

    @property
    def data(self) -> Path:
        """Name the directory of ingested shards."""
        return self.locations.data

    @property
    def runs(self) -> RunDirectory:
        """Name the directory of scores, checkpoints and logs."""
        return self.locations.runs

    @property
    def max_concurrent(self) -> int | None:
        """Say how many trials may run at once; None: as many as fit."""
        return 1 if self.local else self.resources.max_concurrent
