"""Score fine-tuned models on ROIs that they were not fine-tuned on, without training anything.

python -m orchestrator.evaluate transfer --data DATA --out RUNS     subject to subject
python -m orchestrator.evaluate nod --data DATA --out RUNS          onto the NOD subjects
python -m orchestrator.evaluate pooled --data DATA --out RUNS       onto subjects outside a pool
python -m orchestrator.evaluate rois --models ID --rois V1v        as you choose
"""

import argparse
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orchestrator.cli.arguments import DEMO, add_data, add_resources, add_runs, places_of
from orchestrator.cli.errors import InputError
from orchestrator.cli.process import FAILED, Started, leave, run
from orchestrator.cli.selection import add_rois, read_selection, subjects_argument

if TYPE_CHECKING:
    from orchestrator.evaluate.run import EvaluationSettings

DESCRIPTION: Final = """\
Score the finished models of a sweep on other ROIs: the backbone is a checkpoint's, PCA and ridge
are fitted on the scored subject's training images, r is measured on its test images. The same
command goes on where it was stopped: pairs that are scored are skipped.
"""
KINDS: Final = {
    "transfer": "each subject's models on the same ROI and hemisphere of every other subject",
    "nod": "models of NSD subjects on the NOD ROIs that their ROI stands for, beside untuned",
    "pooled": "pooled models on their ROI in subjects that they were not fine-tuned on",
    "rois": "any models on any ROIs",
}
SINGLE: Final = ("contrastive", "regression")
POOLED: Final = ("pooled-avg", "pooled-const")


def main(arguments: Sequence[str] | None = None, only: Collection[str] | None = None) -> int:
    """Run the command line; return 0, 1 when some failed, 2 for bad input, 130 on Ctrl-C.

    only: ids of the evaluations to run of those that are left; None: all.
    """
    given = tuple(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    started = Started("orchestrator.evaluate", given, only)
    failures: list[str] = []
    code = run(lambda: failures.extend(_evaluate(options, started)))
    return code or (FAILED if failures else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.evaluate",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, what in KINDS.items():
        _add_flags(kinds.add_parser(kind, help=what, description=f"Score {what}."), kind)
    return parser


def _add_flags(parser: argparse.ArgumentParser, kind: str) -> None:
    add_data(parser)
    add_runs(parser, "the sweep's directory, whose models are scored and which gets the scores")
    parser.add_argument(
        "--experiment", metavar="NAME", help="MLflow experiment (default: the data set's name)"
    )
    if kind == "nod":
        parser.add_argument(
            "--weights",
            type=Path,
            metavar="FILE",
            help="the state dict that the models started from, for the untuned baseline",
        )
    _add_models(parser, kind)
    add_rois(parser, "which ROIs are scored (default: all that the models serve)")
    add_resources(parser)


def _add_models(parser: argparse.ArgumentParser, kind: str) -> None:
    models = parser.add_argument_group("which models")
    methods = {"pooled": POOLED, "rois": None}.get(kind, SINGLE)
    models.add_argument(
        "--methods",
        type=lambda text: tuple(part.strip() for part in text.split(",")),
        default=methods,
        metavar="LIST",
        help=f"how they were fine-tuned (default: {','.join(methods) if methods else 'any'})",
    )
    models.add_argument(
        "--model-subjects",
        type=subjects_argument,
        default=(1,) if kind == "nod" else None,
        metavar="LIST",
        help=f"whom they were fine-tuned on (default: {'1' if kind == 'nod' else 'any'})",
    )
    models.add_argument(
        "--models",
        nargs="+",
        default=[],
        required=kind == "rois",
        metavar="ID",
        help="trials' ids, beginnings of them, or settings' 8 hex digits",
    )
    models.add_argument(
        "--exclude-training-images",
        action="store_true",
        help="measure r without the images that the model was trained on, as under the paper's "
        "split there are some; these are scores of their own",
    )


def _evaluate(options: argparse.Namespace, started: Started) -> list[str]:
    settings = settings_from(options, started)

    from rich.console import Console

    from orchestrator.evaluate.run import evaluate

    return evaluate(settings, Console())


def settings_from(options: argparse.Namespace, started: Started) -> "EvaluationSettings":
    """Make an evaluation's settings from its flags; raise InputError naming a flag to mend."""
    selection = read_selection(options)
    _check_methods(options.methods)

    from orchestrator.cluster.worker_resources import WorkerResources
    from orchestrator.evaluate.pairs import Choice
    from orchestrator.evaluate.run import EvaluationSettings
    from orchestrator.execution.settings import Locations, RunSettings, TrialOptions

    places = places_of(options)
    weights = getattr(options, "weights", None)
    run = RunSettings(
        Locations(
            places.data,
            places.runs,
            weights or (DEMO / "weights.safetensors" if places.is_demo else None),
        ),
        WorkerResources(
            options.cpus_per_trial,
            options.gpus_per_trial,
            max_concurrent=options.max_concurrent,
            share_gpus=options.share_gpus,
        ),
        TrialOptions(
            retries=options.retries,
            stall_timeout=options.stall_timeout,
            keep_predictions=not options.no_predictions,
        ),
        experiment=options.experiment or ("nsd-simulated" if places.is_demo else None),
        local=options.local,
        dry_run=options.dry_run,
        started=started,
    )
    choice = Choice(options.methods, options.model_subjects, tuple(options.models))
    return EvaluationSettings(options.kind, run, selection, choice, options.exclude_training_images)


def _check_methods(methods: tuple[str, ...] | None) -> None:
    known = (*SINGLE, *POOLED)
    unknown = [method for method in methods or () if method not in known]
    if unknown:
        raise InputError(
            f"--methods: unknown {', '.join(map(repr, unknown))}; expected of {', '.join(known)}"
        )


if __name__ == "__main__":
    leave(main())
