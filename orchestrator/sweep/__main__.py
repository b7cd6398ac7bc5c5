"""Run a search space: plan, train and encode on warm workers, track.

cortex-sweep sweep                                   the demonstration
cortex-sweep sweep paper --data DATA --out RUNS      the paper's main experiment
"""

import importlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Group, Parameter

from orchestrator.cli.app import StartedParameter, new_app, run_app
from orchestrator.cli.arguments import (
    DEMO,
    EXECUTION,
    ExecutionOptions,
    Experiment,
    File,
    Flag,
    PositiveInteger,
    RunsDirectory,
    ShardsDirectory,
    find_places,
)
from orchestrator.cli.errors import InputError
from orchestrator.cli.process import FAILED, Started, leave
from orchestrator.cli.selection import SelectionOptions
from orchestrator.cli.trust import TrustRecordedCode
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.training.checkpoint_notes import Keep

if TYPE_CHECKING:
    from orchestrator.sweep.settings import SweepSettings

app: Final = new_app("sweep")
TRAINING: Final = Group("Training (each changes the trials' ids, or adds trials)", sort_key=0)
HYPERPARAMETERS: Final = Group("Hyperparameters", sort_key=1)


@Parameter(name="*")
@dataclass(frozen=True)
class SweepOptions:
    """The options of a sweep."""

    data: Annotated[
        ShardsDirectory | None, Parameter(show_default="data, or demo/data for the demonstration")
    ] = None
    out: Annotated[
        RunsDirectory | None,
        Parameter(
            help="Directory of scores, checkpoints and logs: a path, or s3://BUCKET/PREFIX.",
            show_default="runs, or demo/runs for the demonstration",
        ),
    ] = None
    weights: File | None = None
    """State dict that every backbone starts from."""
    experiment: Experiment | None = None
    precision: Annotated[
        Literal["float32", "bfloat16"] | None,
        Parameter(group=TRAINING, show_default="that of the search space, usually float32"),
    ] = None
    """Precision of the backbone's forward pass in fine-tuning; bfloat16 is faster on
    GPUs and some CPUs."""
    seeds: Annotated[PositiveInteger, Parameter(group=TRAINING)] = 1
    """Trials of each fine-tuning, with seeds of their own; tables have their mean and standard
    deviation."""
    deterministic: Annotated[Flag, Parameter(group=TRAINING)] = False
    """Use only bitwise reproducible kernels: fine-tuning in float32, and full eigendecompositions
    in float64 for PCA."""
    search: Annotated[
        Literal["optuna", "random"] | None,
        Parameter(group=HYPERPARAMETERS, show_default="optuna: TPE"),
    ] = None
    """Searcher that proposes configurations, for a search space that declares a SEARCH."""
    hyperparameters: Annotated[File | None, Parameter(group=HYPERPARAMETERS)] = None
    """The hyperparameters.json of a finished search. Its values replace temperature, learning
    rate, epochs, batch size and the two ratios of the space's contrastive trials."""
    workers_per_trial: Annotated[PositiveInteger, Parameter(group=EXECUTION)] = 1
    """Workers that share the fine-tuning of each trial, each with its own CPUs and GPUs; sums over
    a batch are the same up to rounding."""
    keep: Annotated[Keep, Parameter(group=EXECUTION)] = "best"
    """Weights to keep of a fine-tuning: of every epoch; of the last and the best; of the last,
    which scores, export, transfer and probes read; or none, for scores alone. `none` removes only
    what this command makes: weights that are complete when it starts stay, and those that several
    of its trials share are removed at its end. `--dry-run` shows their size."""


def main(arguments: Sequence[str] | None = None, only: Collection[str] | None = None) -> int:
    """Run the command line; return 0, 1 when trials failed, 2 for bad input, 130 on Ctrl-C.

    only: ids of the waiting trials to run; None: all.
    """
    return run_app(app, arguments, only)


@app.default
def sweep(
    space: Annotated[
        str,
        Parameter(
            help="Name of a file in search_spaces/, or a .py file with `trials(rois)` or `SEARCH`.",
        ),
    ] = "demo",
    /,
    *,
    options: SweepOptions = SweepOptions(),
    selection: SelectionOptions = SelectionOptions(),
    execution: ExecutionOptions = ExecutionOptions(),
    started: StartedParameter,
) -> int:
    """Run all unfinished trials of a search space.

    The same command resumes a sweep that was stopped: finished trials are skipped, a trial that was
    stopped in training resumes at its checkpoint. Without arguments: the demonstration on simulated
    data, which is made if absent. `status`, `retry` and `cancel` work from any machine that reads
    the sweep's directory.
    """
    from rich.console import Console

    from orchestrator.sweep.run import sweep as run_sweep
    from orchestrator.sweep.spaces import load_search

    _check(options, execution)
    settings = _settings(space, options, selection, execution, started)
    search = load_search(space)
    if search is None:
        if options.search is not None:
            raise InputError(f"--search {options.search}: {space} lists its trials")
        return FAILED if run_sweep(settings, Console()) else 0
    _check_search(options, execution)
    from orchestrator.sweep.search.run import search_hyperparameters

    return FAILED if search_hyperparameters(settings, search, Console()) else 0


@app.command
def status(*, out: RunsDirectory | None = None) -> None:
    """Print which trials are done, running and failed, their rate, and the time left."""
    from rich.console import Console

    from orchestrator.sweep.status import show_status

    show_status(find_places(out).runs, Console())


@app.command
def retry(
    *,
    failed: Annotated[Flag, Parameter(help="Run only the trials that failed.")] = False,
    out: RunsDirectory | None = None,
    trust_code: TrustRecordedCode = False,
) -> int:
    """Repeat the last command on a directory, for the trials that failed or did not run."""
    from orchestrator.sweep.status import find_retry

    again = find_retry(find_places(out).runs, only_failed=failed, trust_code=trust_code)
    # The recorded command's paths are relative to the directory in which it was started.
    os.chdir(again.command.directory)
    module = importlib.import_module(f"{again.command.module}.__main__")
    code: int = module.main(again.arguments, only=again.only)
    return code


@app.command
def cancel(*, out: RunsDirectory | None = None) -> None:
    """Stop the sweep that runs on a directory, and wait until it has ended."""
    from rich.console import Console

    from orchestrator.sweep.status import cancel as ask_to_stop

    ask_to_stop(find_places(out).runs, Console())


def _check(options: SweepOptions, execution: ExecutionOptions) -> None:
    """Raise InputError for contradictory options."""
    workers, gpus = options.workers_per_trial, execution.gpus_per_trial
    if workers > 1 and gpus is not None and 0 < gpus < 1:
        raise InputError(
            f"--workers-per-trial {workers} --gpus-per-trial {gpus:g}: workers that share a trial "
            "need a GPU each (or 0); give --gpus-per-trial 1, or one worker per trial"
        )
    if workers > 1 and execution.share_gpus:
        raise InputError(
            f"--workers-per-trial {workers} --share-gpus: workers that share a trial need a GPU "
            "each; give one of the two"
        )
    if options.deterministic and options.precision == "bfloat16":
        raise InputError(
            "--deterministic --precision bfloat16: deterministic is float32; give one of the two"
        )
    if workers > 1 and options.precision == "bfloat16":
        raise InputError(
            f"--workers-per-trial {workers} --precision bfloat16: workers that share a trial sum "
            "their statistics in float32; give one of the two"
        )


def _check_search(options: SweepOptions, execution: ExecutionOptions) -> None:
    """Raise InputError for options that do not apply to a hyperparameter search."""
    if options.hyperparameters is not None:
        raise InputError("--hyperparameters: a search finds them; give a space that lists trials")
    if options.deterministic:
        raise InputError(
            "--deterministic: a search finds settings; give it to the sweep that uses them"
        )
    if options.seeds > 1:
        raise InputError("--seeds: a search has a seed of its own; give a space that lists trials")
    if options.precision is not None:
        raise InputError(
            "--precision: a search fine-tunes in float32; give a space that lists trials"
        )
    if options.keep != "best":
        raise InputError(
            f"--keep {options.keep}: a search keeps no weights; give a space of trials"
        )
    if execution.local:
        raise InputError("--local: a search stops trials through Ray; give a space of trials")


def _settings(
    space: str,
    options: SweepOptions,
    selection: SelectionOptions,
    execution: ExecutionOptions,
    started: Started,
) -> "SweepSettings":
    from orchestrator.execution.options import run_settings
    from orchestrator.execution.settings import Locations
    from orchestrator.sweep.settings import SweepSettings, TrialChanges

    chosen = selection.read()
    demo = space == "demo" and options.data is None
    run = run_settings(
        Locations(
            data=options.data or DataDirectory(DEMO / "data" if demo else Path("data")),
            runs=options.out or RunDirectory(DEMO / "runs" if demo else Path("runs")),
            weights=options.weights or (DEMO / "weights.safetensors" if demo else None),
        ),
        execution,
        options.experiment,
        started,
        workers_per_trial=options.workers_per_trial,
        keep=options.keep,
    )
    changes = TrialChanges(
        options.precision, options.deterministic, options.hyperparameters, options.seeds
    )
    return SweepSettings(space, run, chosen, changes, options.search or "optuna")


if __name__ == "__main__":
    leave(main())
