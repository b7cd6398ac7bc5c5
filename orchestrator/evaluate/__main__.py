"""Score fine-tuned models on ROIs that they were not fine-tuned on, without further training.

cortex-sweep evaluate transfer --data DATA --out RUNS     subject to subject
cortex-sweep evaluate nod --data DATA --out RUNS          onto the NOD subjects
cortex-sweep evaluate pooled --data DATA --out RUNS       onto subjects outside a pool
cortex-sweep evaluate rois --models ID --rois V1v         as you choose
cortex-sweep evaluate ood --models MODELS                 exported models on NSD-synthetic
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Group, Parameter

from orchestrator.cli.app import StartedParameter, new_app, run_app
from orchestrator.cli.arguments import (
    DEMO,
    ExecutionOptions,
    Experiment,
    File,
    Flag,
    NameList,
    RunsDirectory,
    ShardsDirectory,
    find_places,
)
from orchestrator.cli.errors import InputError
from orchestrator.cli.process import FAILED, Started, leave
from orchestrator.cli.selection import SelectionOptions, Subjects
from orchestrator.cli.trust import TrustCode, TrustRecordedCode
from trainables.wording import meant

if TYPE_CHECKING:
    from orchestrator.evaluate.run import EvaluationSettings

app: Final = new_app(
    "evaluate",
    "Score the finished models of a sweep on other ROIs.\n\nThe backbone comes from a checkpoint; "
    "PCA and ridge regression are fitted to the scored subject's training images, and r is "
    "measured on its test images. The same command resumes a stopped evaluation and skips pairs "
    "that have scores.",
)
SINGLE: Final = ("contrastive", "regression")
POOLED: Final = ("pooled-avg", "pooled-const")
MODELS: Final = Group("Selection of models", sort_key=1)

Methods = Annotated[
    NameList, Parameter(group=MODELS, help="Methods that the models were fine-tuned with.")
]
SingleMethods = Annotated[Methods, Parameter(show_default=",".join(SINGLE))]
ModelSubjects = Annotated[
    Subjects, Parameter(group=MODELS, help="Subjects that the models were fine-tuned on.")
]
AnySubjects = Annotated[ModelSubjects | None, Parameter(show_default="any")]
Models = Annotated[
    tuple[str, ...],
    Parameter(
        group=MODELS,
        metavar="ID...",
        consume_multiple=True,
        help="Ids of trials, prefixes of ids, or the 8 hex digits of trials' settings.",
    ),
]
AnyModels = Annotated[Models, Parameter(show_default="any")]


@Parameter(name="*")
@dataclass(frozen=True)
class EvaluationOptions:
    """The options that all evaluations share."""

    data: ShardsDirectory | None = None
    out: Annotated[
        RunsDirectory | None,
        Parameter(
            help="Directory of the sweep whose models are scored, and of the new scores: a path, "
            "or s3://BUCKET/PREFIX."
        ),
    ] = None
    experiment: Experiment | None = None
    exclude_training_images: Annotated[Flag, Parameter(group=MODELS)] = False
    """Measure r without test images that the model was trained on (the paper's split has some);
    these scores are stored separately."""
    trust_code: Annotated[TrustRecordedCode, Parameter(group=MODELS)] = False
    selection: SelectionOptions = SelectionOptions()
    execution: ExecutionOptions = ExecutionOptions()


def main(arguments: Sequence[str] | None = None, only: Collection[str] | None = None) -> int:
    """Run the command line; return 0, 1 when some failed, 2 for bad input, 130 on Ctrl-C.

    only: ids of the waiting evaluations to run; None: all.
    """
    return run_app(app, arguments, only)


@dataclass(frozen=True)
class _Chosen:
    """The kind of evaluation, and the selected models."""

    kind: str
    methods: tuple[str, ...] | None
    subjects: tuple[int, ...] | None
    models: tuple[str, ...]


@app.command(sort_key=0)
def transfer(
    *,
    methods: SingleMethods = SINGLE,
    model_subjects: AnySubjects = None,
    models: AnyModels = (),
    options: EvaluationOptions = EvaluationOptions(),
    started: StartedParameter,
) -> int:
    """Score each subject's models on the same ROI and hemisphere of every other subject."""
    chosen = _Chosen("transfer", methods, model_subjects, models)
    return _evaluate(chosen, options, started)


@app.command(sort_key=1)
def nod(
    *,
    weights: Annotated[
        File | None,
        Parameter(help="State dict that the models started from, for the untuned baseline."),
    ] = None,
    methods: SingleMethods = SINGLE,
    model_subjects: Annotated[ModelSubjects, Parameter(show_default="1")] = (1,),
    models: AnyModels = (),
    options: EvaluationOptions = EvaluationOptions(),
    started: StartedParameter,
) -> int:
    """Score models of NSD subjects, and the untuned model, on the corresponding NOD ROIs."""
    return _evaluate(_Chosen("nod", methods, model_subjects, models), options, started, weights)


@app.command(sort_key=2)
def pooled(
    *,
    methods: Annotated[Methods, Parameter(show_default=",".join(POOLED))] = POOLED,
    model_subjects: AnySubjects = None,
    models: AnyModels = (),
    options: EvaluationOptions = EvaluationOptions(),
    started: StartedParameter,
) -> int:
    """Score pooled models on their ROI in subjects that they were not fine-tuned on."""
    return _evaluate(_Chosen("pooled", methods, model_subjects, models), options, started)


@app.command(sort_key=3)
def rois(
    *,
    models: Annotated[Models, Parameter(consume_multiple=1)],
    methods: Annotated[Methods | None, Parameter(show_default="any")] = None,
    model_subjects: AnySubjects = None,
    options: EvaluationOptions = EvaluationOptions(),
    started: StartedParameter,
) -> int:
    """Score any models on any ROIs."""
    return _evaluate(_Chosen("rois", methods, model_subjects, models), options, started)


@app.command(sort_key=4)
def ood(
    *,
    models: Annotated[
        Path, Parameter(metavar="MODELS", help="Directory of exported models, or of one of them.")
    ],
    data: ShardsDirectory | None = None,
    out: Annotated[
        RunsDirectory | None,
        Parameter(
            help="Directory of the sweep, in which the scores are written to ood/: a path, or "
            "s3://BUCKET/PREFIX."
        ),
    ] = None,
    by: Annotated[
        Literal["group", "roi", "roi-hemisphere", "subject", "subject-roi"],
        Parameter(help="The rows of ROIs, as of the scores command."),
    ] = "group",
    export: Annotated[
        File | None, Parameter(help="Write the rows of the tables to a .parquet or .csv file.")
    ] = None,
    trust_code: TrustCode = False,
) -> None:
    """Score exported models on the images of NSD-synthetic, out of distribution.

    The readout stays as it was fitted to NSD's training images. Its r on NSD-synthetic stands
    beside its r on NSD's test images, over all images and by class, and beside the r of a readout
    that is fitted to NSD-synthetic by cross-validation over its images, at the same layer. The
    subjects' NSD-synthetic must have been ingested, and the models exported with --fit train.
    Without Ray, on the GPU if there is one; the same command skips models that have scores.
    """
    from rich.console import Console

    from orchestrator.evaluate.ood.run import OodSettings, evaluate_ood

    places = find_places(out, data)
    settings = OodSettings(models, places.data, places.runs, by, export, trust_code)
    evaluate_ood(settings, Console())


def _evaluate(
    chosen: _Chosen, options: EvaluationOptions, started: Started, weights: File | None = None
) -> int:
    settings = _settings(chosen, options, started, weights)

    from rich.console import Console

    from orchestrator.evaluate.run import evaluate

    return FAILED if evaluate(settings, Console()) else 0


def _settings(
    chosen: _Chosen, options: EvaluationOptions, started: Started, weights: File | None
) -> "EvaluationSettings":
    selection = options.selection.read()
    _check_methods(chosen.methods)

    from orchestrator.evaluate.pairs import Choice
    from orchestrator.evaluate.run import EvaluationSettings
    from orchestrator.execution.options import run_settings
    from orchestrator.execution.settings import Locations

    places = find_places(options.out, options.data)
    run = run_settings(
        Locations(
            places.data,
            places.runs,
            weights or (DEMO / "weights.safetensors" if places.is_demo else None),
        ),
        options.execution,
        options.experiment,
        started,
    )
    choice = Choice(chosen.methods, chosen.subjects, chosen.models)
    return EvaluationSettings(
        chosen.kind,
        run,
        selection,
        choice,
        options.exclude_training_images,
        options.trust_code,
    )


def _check_methods(methods: tuple[str, ...] | None) -> None:
    known = (*SINGLE, *POOLED)
    unknown = [method for method in methods or () if method not in known]
    if unknown:
        raise InputError(
            f"--methods: unknown {', '.join(map(repr, unknown))}; expected any of "
            f"{', '.join(known)}{meant(unknown[0], known)}"
        )


if __name__ == "__main__":
    leave(main())
