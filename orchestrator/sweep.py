"""Run a search space: plan, train and encode on warm workers, track.

python -m orchestrator.sweep                                   the demonstration
python -m orchestrator.sweep paper --data DATA --out RUNS      the paper's main experiment
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orchestrator.command import INTERRUPTED, InputError, positive_integer, run, subjects_argument

if TYPE_CHECKING:
    from orchestrator.sweeping import SweepSettings

FAILED: Final = 1
DESCRIPTION: Final = """\
Run every trial of a search space that is not done yet. The same command goes on where it was
stopped: finished trials are skipped, a half-trained one resumes at its checkpoint. Without
arguments: the demonstration on simulated data, which is made if absent.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, 1 when trials failed, 2 for bad input, 130 on Ctrl-C."""
    options = _parser().parse_args(arguments)
    failures: list[str] = []
    code = run(lambda: failures.extend(_sweep(options)))
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
        help="a name in search_spaces/, or a .py file with trials(cells) or SEARCH (default: demo)",
    )
    parser.add_argument("--data", type=Path, metavar="DATA", help="ingested shards (default: data)")
    parser.add_argument(
        "--out", type=Path, metavar="RUNS", help="scores, checkpoints and logs (default: runs)"
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="a state dict for every trunk to start from"
    )
    parser.add_argument(
        "--experiment", metavar="NAME", help="MLflow experiment (default: the data set's name)"
    )
    _add_search(parser)
    _add_cells(parser)
    _add_resources(parser)
    return parser


def _add_search(parser: argparse.ArgumentParser) -> None:
    search = parser.add_argument_group("hyperparameters")
    search.add_argument(
        "--search",
        choices=("optuna", "random"),
        default="optuna",
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


def _add_cells(parser: argparse.ArgumentParser) -> None:
    cells = parser.add_argument_group("which cells (default: all that the space takes)")
    cells.add_argument(
        "--subjects", type=subjects_argument, metavar="LIST", help="numbers such as 1,5-8"
    )
    cells.add_argument("--hemispheres", default="lh,rh", metavar="LIST", help="lh, rh or lh,rh")
    cells.add_argument(
        "--rois", metavar="LIST", help="groups early, higher, streams, and ROIs such as V1v,EBA"
    )


def _add_resources(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_argument_group("how it runs (none of these changes a result)")
    parts.add_argument(
        "--workers-per-trial",
        type=positive_integer,
        default=1,
        metavar="N",
        help="Ray Train workers that share the fine-tuning of a trial, each with the CPUs and GPUs "
        "below; the sum over a batch is the same up to rounding (1)",
    )
    parts.add_argument(
        "--cpus-per-trial",
        type=positive_integer,
        default=1,
        metavar="N",
        help="CPUs of a worker, and its threads: another number may round sums otherwise (1)",
    )
    parts.add_argument(
        "--gpus-per-trial",
        type=_share_of_gpus,
        metavar="X",
        help="GPUs of a worker, also 0.5 (default: 1 where the cluster has any, else 0)",
    )
    parts.add_argument(
        "--max-concurrent",
        type=positive_integer,
        metavar="N",
        help="trials at once (default: as many as the cluster holds)",
    )
    parts.add_argument(
        "--retries", type=int, default=1, metavar="N", help="further tries of a failed trial (1)"
    )
    parts.add_argument(
        "--keep-every-epoch", action="store_true", help="keep each epoch's weights, not last, best"
    )
    parts.add_argument("--dry-run", action="store_true", help="print the plan and leave")


def _share_of_gpus(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not (0 <= share <= 1 or (share > 1 and share.is_integer())):
        raise argparse.ArgumentTypeError(f"{text!r}: expected 0, a share below 1, or whole GPUs")
    return share


def _sweep(options: argparse.Namespace) -> list[str]:
    from rich.console import Console

    from orchestrator.plan import load_search
    from orchestrator.sweeping import sweep

    settings, search = _settings(options), load_search(options.space)
    if search is None:
        return sweep(settings, Console())
    if settings.hyperparameters is not None:
        raise InputError("--hyperparameters: a search finds them; give a space that lists trials")
    from orchestrator.tuning import tune

    return tune(settings, search, Console())


def _settings(options: argparse.Namespace) -> "SweepSettings":
    from orchestrator.plan import parse_rois
    from orchestrator.sweeping import DEMO, SweepSettings
    from trainables.rois import HEMISPHERES

    if options.workers_per_trial > 1 and 0 < (options.gpus_per_trial or 0) < 1:
        raise InputError(
            f"--workers-per-trial {options.workers_per_trial} --gpus-per-trial "
            f"{options.gpus_per_trial:g}: workers that share a trial need a GPU each (or 0); "
            "give --gpus-per-trial 1, or one worker a trial"
        )
    if options.retries < 0:
        raise InputError(f"--retries {options.retries}: expected 0 or more")
    hemispheres = tuple(part.strip() for part in options.hemispheres.split(","))
    if not set(hemispheres) <= set(HEMISPHERES):
        raise InputError(f"--hemispheres {options.hemispheres!r}: expected lh, rh or lh,rh")
    demo = options.space == "demo" and options.data is None
    return SweepSettings(
        space=options.space,
        data=options.data or (DEMO / "data" if demo else Path("data")),
        out=options.out or (DEMO / "runs" if demo else Path("runs")),
        weights=options.weights or (DEMO / "weights.safetensors" if demo else None),
        experiment=options.experiment or ("nsd-simulated" if demo else None),
        subjects=options.subjects,
        hemispheres=hemispheres,
        rois=None if options.rois is None else parse_rois(options.rois),
        workers_per_trial=options.workers_per_trial,
        cpus_per_trial=options.cpus_per_trial,
        gpus_per_trial=options.gpus_per_trial,
        max_concurrent=options.max_concurrent,
        retries=options.retries,
        keep_every_epoch=options.keep_every_epoch,
        dry_run=options.dry_run,
        searcher=options.search,
        hyperparameters=options.hyperparameters,
    )


def _leave(code: int) -> None:
    """End the process; at once when interrupted, as threads still wait for trials then.

    Ray ends what a driver started when the driver is gone, as after a kill.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if code == INTERRUPTED:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    _leave(main())
