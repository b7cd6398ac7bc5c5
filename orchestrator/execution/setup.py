"""Steps from a run's settings to its trials: costs, weights, what has ended, where trials run."""

import time
from collections.abc import Sequence
from pathlib import Path

from orchestrator.cli.errors import InputError
from orchestrator.execution.cost import Costs
from orchestrator.execution.run_record import Command
from orchestrator.execution.settings import RunSettings
from trainables.models.backbones import weights_name
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Trial
from trainables.spec.evaluation import WorkItem
from trainables.worker.context import RunContext


def read_costs(settings: RunSettings) -> Costs:
    """Read what trials on a run's data cost, with the run's resources."""
    return Costs.read(
        settings.data,
        gpus=bool(settings.resources.gpus),
        threads=settings.resources.cpus,
        workers=settings.resources.workers,
    )


def name_weights(weights: Path | None) -> str | None:
    """Name a weights file by its content; None where none is given."""
    if weights is None:
        return None
    if not weights.is_file():
        raise InputError(f"{weights}: no such file; give --weights a state dict")
    return weights_name(weights)


def outcomes(runs: RunDirectory, trials: Sequence[WorkItem]) -> list[Outcome]:
    """Read how these have ended, of those that have."""
    found = (Outcome.read(runs, trial.id) for trial in trials)
    return [outcome for outcome in found if outcome is not None]


def epochs_of(work_item: WorkItem) -> int:
    """Count the epochs that a trial fine-tunes; 0 where nothing is fine-tuned."""
    return getattr(work_item.objective, "epochs", 0) if isinstance(work_item, Trial) else 0


def command_of(
    settings: RunSettings,
    noun: str,
    trials: Sequence[WorkItem],
    waiting: Sequence[WorkItem],
    costs: Costs,
) -> Command:
    """Describe what is run, for who looks at it from elsewhere. noun: what is counted."""
    return Command(
        module=settings.started.module,
        arguments=settings.started.arguments,
        directory=str(Path.cwd()),
        started=time.time(),
        noun=noun,
        trials=tuple(trial.id for trial in trials),
        costs={trial.id: costs.estimate(trial).seconds for trial in waiting},
        epochs={trial.id: epochs_of(trial) for trial in waiting},
    )


def run_context_of(settings: RunSettings, share_of_gpu: float = 1.0) -> RunContext:
    """Say where the trials of a run find and leave their files, and what each may use.

    share_of_gpu: of the memory of a GPU that several trials share.
    """
    locations, options = settings.locations, settings.options
    return RunContext(
        locations.data.resolve(),
        locations.runs.resolved(),
        locations.weights and locations.weights.resolve(),
        threads=settings.resources.cpus,
        keep_every_epoch=options.keep_every_epoch,
        keep_predictions=options.keep_predictions,
        share_of_gpu=share_of_gpu,
    )
