"""Parameters that several commands share: directories, and the use of a cluster.

Nothing here imports Ray or torch, so ``--help`` and input errors are immediate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from cyclopts import Group, Parameter

from orchestrator.cli.errors import InputError
from orchestrator.cli.values import (
    experiment_name,
    gpu_share,
    minutes,
    non_negative_integer,
    positive_integer,
)
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.storage.redaction import redact
from trainables.storage.stored_directory import StoredDirectory

AnyDirectory = TypeVar("AnyDirectory", bound=StoredDirectory)

DEMO: Final = Path("demo")
"""The directory of the demonstration."""


def read_with(read: Callable[[str], Any], metavar: str) -> Parameter:
    """Declare a parameter of one word, parsed by a function that raises InputError.

    If the parameter is given several times, the last one counts.
    """
    return Parameter(
        converter=lambda _, tokens: read(tokens[-1].value),
        n_tokens=1,
        accepts_keys=False,
        metavar=metavar,
    )


def run_directory(text: str) -> RunDirectory:
    """Open a sweep's directory from the command line: a path, or ``s3://BUCKET/PREFIX``."""
    return _open(RunDirectory, text)


def data_directory(text: str) -> DataDirectory:
    """Open the directory of ingested data: a path, or ``s3://BUCKET/PREFIX``."""
    return _open(DataDirectory, text)


def _open(kind: type[AnyDirectory], text: str) -> AnyDirectory:
    """Open a directory and fetch its small files; raise InputError if S3 can't be read."""
    try:
        return kind.open(text)
    except (ValueError, OSError) as error:
        raise InputError(redact(str(error))) from error


def split_list(text: str) -> tuple[str, ...]:
    """Split a list such as ``nested,paper`` at commas."""
    return tuple(part.strip() for part in text.split(","))


Flag = Annotated[bool, Parameter(show_default=False)]
PositiveInteger = Annotated[int, read_with(positive_integer, "N")]
NonNegativeInteger = Annotated[int, read_with(non_negative_integer, "N")]
NameList = Annotated[tuple[str, ...], read_with(split_list, "LIST")]
File = Annotated[Path, Parameter(metavar="FILE")]
RunsDirectory = Annotated[
    RunDirectory,
    read_with(run_directory, "RUNS"),
    Parameter(
        help="Directory of the sweep: a path, or s3://BUCKET/PREFIX.",
        show_default="runs, or demo/runs if only that exists",
    ),
]
ShardsDirectory = Annotated[
    DataDirectory,
    read_with(data_directory, "DATA"),
    Parameter(
        help="Directory of the ingested shards: a path, or s3://BUCKET/PREFIX.",
        show_default="data, next to RUNS",
    ),
]
Experiment = Annotated[
    str,
    read_with(experiment_name, "NAME"),
    Parameter(
        help="MLflow experiment.", show_default="data set, with -simulated after it where it is"
    ),
]


@dataclass(frozen=True)
class Places:
    """A sweep's directory, its shards, and whether they default to the demonstration's."""

    runs: RunDirectory
    data: DataDirectory
    is_demo: bool


def find_places(out: RunDirectory | None, data: DataDirectory | None = None) -> Places:
    """Replace directories that were not given by their defaults."""
    is_demo = out is None and not Path("runs").is_dir() and (DEMO / "runs").is_dir()
    runs = out or RunDirectory(DEMO / "runs" if is_demo else Path("runs"))
    return Places(runs, data or DataDirectory(runs.path.parent / "data"), is_demo)


EXECUTION: Final = Group("Execution (none of these changes a result)", sort_key=3)


@Parameter(name="*", group=EXECUTION)
@dataclass(frozen=True)
class WorkerOptions:
    """The size of a worker, and how many there are."""

    cpus_per_trial: PositiveInteger = 1
    """CPUs and threads of a worker; another number may round sums differently."""
    gpus_per_trial: Annotated[
        float | None,
        read_with(gpu_share, "X"),
        Parameter(show_default="1 if the cluster has GPUs, else 0"),
    ] = None
    """GPUs of a worker; with 0.5, two workers share a GPU."""
    max_concurrent: Annotated[
        PositiveInteger | None, Parameter(show_default="as many as fit the cluster")
    ] = None
    """Maximum number of trials that run at once."""


@Parameter(name="*", group=EXECUTION)
@dataclass(frozen=True)
class ExecutionOptions(WorkerOptions):
    """How trials run."""

    share_gpus: Flag = False
    """Let as many trials share a GPU as fit in its memory, at most 4."""
    retries: NonNegativeInteger = 1
    """Further attempts at a failed trial."""
    no_predictions: Flag = False
    """Do not keep the predictions of test images (2 bytes per image and vertex), which
    `scores --stats` needs."""
    stall_timeout: Annotated[
        float | None,
        read_with(minutes, "MINUTES"),
        Parameter(show_default="10 times the trial's estimated duration, at least 15"),
    ] = None
    """Minutes that a trial may run without starting a step or finishing an epoch; then its worker
    is restarted, which counts as an attempt."""
    local: Flag = False
    """Run the trials one after another in this process, without Ray, for example under a debugger;
    the scores are the same."""
    no_dashboard: Flag = False
    """Start a local Ray without its dashboard: less to start, and one port less."""
    dry_run: Flag = False
    """Print the plan and exit."""

    def check(self) -> None:
        """Raise InputError for contradictory options."""
        if self.share_gpus and self.gpus_per_trial is not None:
            raise InputError(
                f"--share-gpus --gpus-per-trial {self.gpus_per_trial:g}: --share-gpus chooses the "
                "share; give only one of the two"
            )
