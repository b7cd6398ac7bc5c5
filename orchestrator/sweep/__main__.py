"""Run a search space: plan, train and encode on warm workers, track.

python -m orchestrator.sweep                                   the demonstration
python -m orchestrator.sweep paper --data DATA --out RUNS      the paper's main experiment
"""

import argparse
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orchestrator.cli.arguments import ANYWHERE, DEMO, add_resources, directory, positive_integer
from orchestrator.cli.errors import InputError
from orchestrator.cli.process import FAILED, Started, leave, run
from orchestrator.cli.selection import add_rois, read_selection

if TYPE_CHECKING:
    from orchestrator.sweep.settings import SweepSettings

DESCRIPTION: Final = """\
Run every trial of a search space that is not done yet. The same command goes on where it was
stopped: finished trials are skipped, a half-trained one resumes at its checkpoint. Without
arguments: the demonstration on simulated data, which is made if absent.

From any machine that sees RUNS: "status --out RUNS" says how far it is, "cancel" stops it, and
"retry [--failed]" runs the last command on RUNS again.
"""
ACTIONS: Final = ("status", "retry", "cancel")


def main(arguments: Sequence[str] | None = None, only: Collection[str] | None = None) -> int:
    """Run the command line; return 0, 1 when trials failed, 2 for bad input, 130 on Ctrl-C.

    only: ids of the trials to run of those that are left; None: all.
    """
    given = tuple(sys.argv[1:] if arguments is None else arguments)
    if given[:1] and given[0] in ACTIONS:
        from orchestrator.sweep.status import main as operate

        return operate(given)
    options = _parser().parse_args(given)
    started = Started("orchestrator.sweep", given, only)
    failures: list[str] = []
    code = run(lambda: failures.extend(_sweep(options, started)))
    return code or (FAILED if failures else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.sweep",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "space",
        nargs="?",
        default="demo",
        metavar="SPACE",
        help="a name in search_spaces/, or a .py file with trials(rois) or SEARCH (default: demo)",
    )
    parser.add_argument(
        "--data",
        type=directory,
        metavar="DATA",
        help=f"ingested shards: {ANYWHERE} (default: data)",
    )
    parser.add_argument(
        "--out",
        type=directory,
        metavar="RUNS",
        help=f"scores, checkpoints and logs: {ANYWHERE} (default: runs)",
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="a state dict for every backbone to start from"
    )
    parser.add_argument(
        "--experiment", metavar="NAME", help="MLflow experiment (default: the data set's name)"
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        help="of the images' pass through the backbone in fine-tuning; bfloat16 takes about half "
        "the time, and gives trials ids of their own (default: as the space says, float32)",
    )
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="take no fast path: full float32 in fine-tuning, every component in float64, "
        "bitwise reproducible kernels; such trials have ids of their own",
    )
    _add_search(parser)
    add_rois(parser, "which ROIs (default: all that the space takes)")
    _add_resources(parser)
    return parser


def _add_search(parser: argparse.ArgumentParser) -> None:
    search = parser.add_argument_group("hyperparameters")
    search.add_argument(
        "--search",
        choices=("optuna", "random"),
        help="what proposes configurations, for a space that declares a SEARCH (optuna: TPE)",
    )
    search.add_argument(
        "--hyperparameters",
        type=Path,
        metavar="FILE",
        help="the file that a search ended in: its values replace temperature, learning rate, "
        "epochs, batch size and the two ratios of the space's contrastive trials, whose ids "
        "follow; regression and pooled trials stay as they are",
    )


def _add_resources(parser: argparse.ArgumentParser) -> None:
    parts = add_resources(parser)
    parts.add_argument(
        "--workers-per-trial",
        type=positive_integer,
        default=1,
        metavar="N",
        help="Ray Train workers that share the fine-tuning of a trial, each with the CPUs and GPUs "
        "above; the sum over a batch is the same up to rounding (1)",
    )
    parts.add_argument(
        "--keep-every-epoch", action="store_true", help="keep each epoch's weights, not last, best"
    )


def _sweep(options: argparse.Namespace, started: Started) -> list[str]:
    from rich.console import Console

    from orchestrator.sweep.run import sweep
    from orchestrator.sweep.spaces import load_search

    settings, search = settings_from(options, started), load_search(options.space)
    if search is None:
        if options.search is not None:
            raise InputError(f"--search {options.search}: {options.space} lists its trials")
        return sweep(settings, Console())
    if settings.changes.hyperparameters is not None:
        raise InputError("--hyperparameters: a search finds them; give a space that lists trials")
    if settings.changes.deterministic:
        raise InputError(
            "--deterministic: a search finds settings; give it to the sweep that uses them"
        )
    if settings.changes.precision is not None:
        raise InputError(
            "--precision: a search fine-tunes in float32; give a space that lists trials"
        )
    if settings.run.options.keep_every_epoch:
        raise InputError("--keep-every-epoch: a search keeps no weights; its trials are for choice")
    if settings.run.local:
        raise InputError("--local: a search stops trials through Ray; give a space of trials")
    from orchestrator.sweep.search.run import search_hyperparameters

    return search_hyperparameters(settings, search, Console())


def settings_from(options: argparse.Namespace, started: Started) -> "SweepSettings":
    """Make a sweep's settings from its flags; raise InputError where two exclude each other."""
    from orchestrator.cluster.worker_resources import WorkerResources
    from orchestrator.execution.settings import Locations, RunSettings, TrialOptions
    from orchestrator.sweep.settings import SweepSettings, TrialChanges

    _check_workers(options)
    if options.deterministic and options.precision == "bfloat16":
        raise InputError(
            "--deterministic --precision bfloat16: deterministic is float32; give one of the two"
        )
    selection = read_selection(options)
    demo = options.space == "demo" and options.data is None
    run = RunSettings(
        Locations(
            data=options.data or (DEMO / "data" if demo else Path("data")),
            runs=options.out or (DEMO / "runs" if demo else Path("runs")),
            weights=options.weights or (DEMO / "weights.safetensors" if demo else None),
        ),
        WorkerResources(
            options.cpus_per_trial,
            options.gpus_per_trial,
            options.workers_per_trial,
            options.max_concurrent,
            options.share_gpus,
        ),
        TrialOptions(
            retries=options.retries,
            stall_timeout=options.stall_timeout,
            keep_every_epoch=options.keep_every_epoch,
            keep_predictions=not options.no_predictions,
        ),
        experiment=options.experiment or ("nsd-simulated" if demo else None),
        local=options.local,
        dry_run=options.dry_run,
        started=started,
    )
    changes = TrialChanges(options.precision, options.deterministic, options.hyperparameters)
    return SweepSettings(options.space, run, selection, changes, options.search or "optuna")


def _check_workers(options: argparse.Namespace) -> None:
    """Refuse what workers that share a trial can't do."""
    n_workers = options.workers_per_trial
    if n_workers == 1:
        return
    if 0 < (options.gpus_per_trial or 0) < 1:
        raise InputError(
            f"--workers-per-trial {n_workers} --gpus-per-trial {options.gpus_per_trial:g}: workers "
            "that share a trial need a GPU each (or 0); give --gpus-per-trial 1, or one worker per "
            "trial"
        )
    if options.share_gpus:
        raise InputError(
            f"--workers-per-trial {n_workers} --share-gpus: workers that share a trial need a GPU "
            "each; give one of the two"
        )
    if options.precision == "bfloat16":
        raise InputError(
            f"--workers-per-trial {n_workers} --precision bfloat16: workers that share a trial sum "
            "their statistics in float32; give one of the two"
        )


if __name__ == "__main__":
    leave(main())
