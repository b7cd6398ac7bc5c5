"""Make the tables behind every figure of a finished sweep.

python -m orchestrator.analyze                      every analysis whose input is there
python -m orchestrator.analyze layers landscape     the named ones
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from orchestrator.cli.arguments import (
    DEMO,
    add_data,
    add_runs,
    add_workers,
    places_of,
    positive_integer,
)
from orchestrator.cli.process import FAILED, leave, run

DESCRIPTION: Final = """\
Ask a finished sweep what it found: each analysis makes one table, RUNS/analyses/NAME.parquet, which
python -m orchestrator.report shows. An analysis whose input has not changed is not made again; one
whose input is missing is skipped, with the reason. Backbones that need probing are probed, over the
cluster, each once.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, 1 when an analysis failed, 2 for bad input, 130 on Ctrl-C."""
    options = _parser().parse_args(arguments)
    failures: list[str] = []
    code = run(lambda: failures.extend(_analyze(options)))
    return code or (FAILED if failures else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.analyze",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="analyses (default: all)")
    parser.add_argument("--list", action="store_true", help="list the analyses and leave")
    add_runs(parser)
    add_data(parser)
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="the state dict that the backbones started from",
    )
    parser.add_argument(
        "--experiment", metavar="NAME", help="MLflow experiment (default: the data set's name)"
    )
    _add_backbones(parser)
    add_workers(parser)
    return parser


def _add_backbones(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_argument_group("how backbones are looked into")
    parts.add_argument(
        "--task", metavar="NAME", help="the ingested image-classification task (default: the first)"
    )
    parts.add_argument(
        "--feature-layer",
        default="classifier.5",
        metavar="LAYER",
        help="whose features are classified (default: classifier.5)",
    )
    parts.add_argument(
        "--saliency-layer",
        metavar="LAYER",
        help="whose activations Grad-CAM weighs (default: features.12; on the demonstration, whose "
        "small images have no left and right there, features.10)",
    )
    parts.add_argument(
        "--local-cpus",
        type=positive_integer,
        metavar="N",
        help="CPUs of a local Ray (default: all)",
    )


def _analyze(options: argparse.Namespace) -> list[str]:
    from rich.console import Console

    from orchestrator.analyze.catalogue import ANALYSES, find
    from orchestrator.analyze.probe_actors import Workers
    from orchestrator.analyze.run import Analysing, analyse

    console = Console()
    if options.list:
        for one in ANALYSES:
            console.print(f"{one.name:20} {one.question}", highlight=False)
        return []
    places = places_of(options)
    settings = Analysing(
        analyses=tuple(find(options.names)),
        runs=places.runs,
        data=places.data,
        weights=options.weights or (DEMO / "weights.safetensors" if places.is_demo else None),
        experiment=options.experiment or ("nsd-simulated" if places.is_demo else None),
        task=options.task,
        feature_layer=options.feature_layer,
        saliency_layer=options.saliency_layer
        or ("features.10" if places.is_demo else "features.12"),
        workers=Workers(
            options.cpus_per_trial,
            options.gpus_per_trial,
            options.max_concurrent,
            options.local_cpus,
        ),
    )
    return analyse(settings, console)


if __name__ == "__main__":
    leave(main())
