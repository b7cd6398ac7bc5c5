"""Make the tables behind every figure of a finished sweep.

cortex-sweep analyze                      every analysis whose input is there
cortex-sweep analyze layers landscape     the named ones
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Group, Parameter

from orchestrator.cli.app import new_app, run_app
from orchestrator.cli.arguments import (
    DEMO,
    EXECUTION,
    Experiment,
    File,
    Flag,
    PositiveInteger,
    RunsDirectory,
    ShardsDirectory,
    WorkerOptions,
    find_places,
)
from orchestrator.cli.process import FAILED, leave
from orchestrator.cli.trust import TrustRecordedCode

if TYPE_CHECKING:
    from orchestrator.analyze.settings import Analysing

app: Final = new_app("analyze")
PROBES: Final = Group("Probes of backbones", sort_key=1)


@Parameter(name="*")
@dataclass(frozen=True)
class AnalysisOptions:
    """Where results are, and how backbones are probed."""

    out: RunsDirectory | None = None
    data: ShardsDirectory | None = None
    weights: File | None = None
    """State dict that the backbones started from."""
    trust_code: TrustRecordedCode = False
    experiment: Experiment | None = None
    task: Annotated[
        str | None, Parameter(metavar="NAME", group=PROBES, show_default="the first")
    ] = None
    """Ingested image-classification task."""
    feature_layer: Annotated[str, Parameter(metavar="LAYER", group=PROBES)] = "classifier.5"
    """Layer whose features are classified."""
    saliency_layer: Annotated[
        str | None,
        Parameter(
            metavar="LAYER",
            group=PROBES,
            show_default="features.12; on the demonstration, whose small images have no left and "
            "right there, features.10",
        ),
    ] = None
    """Layer whose activations Grad-CAM weights."""
    local_cpus: Annotated[
        PositiveInteger | None, Parameter(group=EXECUTION, show_default="all")
    ] = None
    """CPUs of a local Ray."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, 1 when an analysis failed, 2 for bad input, 130 on Ctrl-C."""
    return run_app(app, arguments)


@app.default
def analyze(
    *names: Annotated[str, Parameter(help="Analyses to run.", show_default="all")],
    show_list: Annotated[
        Flag, Parameter(name="--list", help="List the analyses and exit.")
    ] = False,
    options: AnalysisOptions = AnalysisOptions(),
    workers: WorkerOptions = WorkerOptions(),
) -> int:
    """Make one table per analysis of a finished sweep, which the report shows.

    Each analysis writes RUNS/analyses/NAME.parquet. An analysis whose input has not changed is
    skipped; so is one whose input is missing, with the reason. Backbones that an analysis needs are
    probed over the cluster, each once.
    """
    from rich.console import Console

    from orchestrator.analyze.catalogue import ANALYSES
    from orchestrator.analyze.run import analyse

    console = Console()
    if show_list:
        for one in ANALYSES:
            console.print(f"{one.name:20} {one.question}", highlight=False)
        return 0
    return FAILED if analyse(_settings(names, options, workers), console) else 0


def _settings(
    names: Sequence[str], options: AnalysisOptions, workers: WorkerOptions
) -> "Analysing":
    from orchestrator.analyze.catalogue import find
    from orchestrator.analyze.settings import Analysing, Workers

    places = find_places(options.out, options.data)
    return Analysing(
        analyses=tuple(find(names)),
        runs=places.runs,
        data=places.data,
        weights=options.weights or (DEMO / "weights.safetensors" if places.is_demo else None),
        experiment=options.experiment,
        task=options.task,
        feature_layer=options.feature_layer,
        saliency_layer=options.saliency_layer
        or ("features.10" if places.is_demo else "features.12"),
        workers=Workers(
            workers.cpus_per_trial,
            workers.gpus_per_trial,
            workers.max_concurrent,
            options.local_cpus,
        ),
        is_named=bool(names),
        trust_code=options.trust_code,
    )


if __name__ == "__main__":
    leave(main())
