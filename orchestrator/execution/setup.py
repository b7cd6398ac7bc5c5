"""Steps from a run's settings to its trials: costs, weights, outcomes, and run contexts."""

import time
from collections.abc import Sequence
from pathlib import Path

from orchestrator.cli.errors import InputError
from orchestrator.execution.cost import Costs
from orchestrator.execution.run_record import Command
from orchestrator.execution.settings import RunSettings
from orchestrator.execution.work_left import seconds_of
from trainables.models.weights_name import weights_name
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Trial
from trainables.spec.evaluation import WorkItem
from trainables.worker.context import RunContext


def read_costs(settings: RunSettings) -> Costs:
    """Read the costs of trials on a run's data, with the run's resources."""
    return Costs.read(
        settings.data,
        gpus=bool(settings.resources.gpus),
        threads=settings.resources.cpus,
        workers=settings.resources.workers,
    )


def name_weights(weights: Path | None) -> str | None:
    """Name a weights file by its content; return None if no file is given."""
    if weights is None:
        return None
    if not weights.is_file():
        raise InputError(f"{weights}: no such file; give --weights a state dict")
    return weights_name(weights)


def outcomes(runs: RunDirectory, trials: Sequence[WorkItem]) -> list[Outcome]:
    """Read the outcomes of those trials that have ended."""
    found = (Outcome.read(runs, trial.id) for trial in trials)
    return [outcome for outcome in found if outcome is not None]


def epochs_of(work_item: WorkItem) -> int:
    """Return the epochs of a trial's fine-tuning; 0 if nothing is fine-tuned."""
    return getattr(work_item.objective, "epochs", 0) if isinstance(work_item, Trial) else 0


def command_of(
    settings: RunSettings,
    noun: str,
    trials: Sequence[WorkItem],
    waiting: Sequence[WorkItem],
    costs: Costs,
) -> Command:
    """Make the record of a command. noun: what is counted, such as ``trials``."""
    return Command(
        module=settings.started.module,
        arguments=settings.started.arguments,
        directory=str(Path.cwd()),
        started=time.time(),
        noun=noun,
        trials=tuple(trial.id for trial in trials),
        costs=seconds_of(waiting, costs, settings.runs),
        epochs={trial.id: epochs_of(trial) for trial in waiting},
        earlier={one.trial.id: one.started for one in outcomes(settings.runs, waiting)},
    )


def run_context_of(settings: RunSettings, share_of_gpu: float = 1.0) -> RunContext:
    """Make the context of a run's trials: the locations of files and the resources of each.

    share_of_gpu: share of a GPU's memory for each trial, if several trials share one.
    """
    locations, options = settings.locations, settings.options
    return RunContext(
        locations.data.resolved(),
        locations.runs.resolved(),
        locations.weights and locations.weights.resolve(),
        threads=settings.resources.cpus,
        keep=options.keep,
        removable=options.removable,
        keep_predictions=options.keep_predictions,
        share_of_gpu=share_of_gpu,
    )
