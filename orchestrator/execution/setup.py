"""Steps from a sweep's settings to a run: ROIs, weights, costs, jobs, the connection to Ray."""

import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import Selection, select
from orchestrator.cluster.capacity import GroupSize
from orchestrator.cluster.connection import connect
from orchestrator.cluster.jobs import Job
from orchestrator.cluster.watchdog import patience_for
from orchestrator.execution.cost import Costs
from orchestrator.execution.settings import SweepSettings
from trainables.data.shards import list_cells
from trainables.models.backbones import weights_name
from trainables.results.outcome import Outcome
from trainables.spec import Cell, Trial
from trainables.spec.evaluation import Work
from trainables.worker.context import Workplace


def read_costs(settings: SweepSettings) -> Costs:
    """Read what trials on a sweep's data cost, with the sweep's resources."""
    return Costs.read(
        settings.data,
        gpus=bool(settings.gpus_per_trial),
        threads=settings.cpus_per_trial,
        workers=settings.workers_per_trial,
    )


def chosen_cells(settings: SweepSettings) -> list[Cell]:
    """List the cells of a sweep's data that it is restricted to."""
    selection = Selection(settings.subjects, settings.hemispheres, settings.rois)
    return select(list_cells(settings.data), selection)


def name_weights(settings: SweepSettings) -> str | None:
    """Name the weights file of a sweep by content; None where none is given."""
    if settings.weights is None:
        return None
    if not settings.weights.is_file():
        raise InputError(f"{settings.weights}: no such file; give --weights a state dict")
    return weights_name(settings.weights)


def outcomes(runs: Path, trials: Sequence[Work]) -> list[Outcome]:
    """Read how these have ended, of those that have."""
    found = (Outcome.read(runs, trial.id) for trial in trials)
    return [outcome for outcome in found if outcome is not None]


def epochs_of(work: Work) -> int:
    """Count the epochs that a trial tunes; 0 where nothing is tuned."""
    return getattr(work.objective, "epochs", 0) if isinstance(work, Trial) else 0


def make_job(work: Work, costs: Costs, patience: float | None, *, judged: bool = False) -> Job:
    """Make a job; evaluations train nothing, so any number may read one checkpoint at a time.

    patience: seconds without progress after which its worker is started anew; None: by its cost.
    """
    training_id = work.training_id if isinstance(work, Trial) else ""
    seconds = patience_for(costs.estimate(work).seconds) if patience is None else patience
    return Job(work.id, work.to_json(), work.shards, training_id, seconds, judged)


def connect_and_tell() -> str:
    """Connect to Ray, and say where its dashboard is."""
    dashboard = connect(local_cpus(), include_dashboard=True)
    token = "   (if it asks for a token: ray get-auth-token)"
    return f"Ray dashboard: {dashboard + token if dashboard else 'none'}"


def workplace_of(settings: SweepSettings, size: GroupSize) -> Workplace:
    """Say where the trials of a sweep run."""
    return Workplace(
        settings.data.resolve(),
        settings.out.resolve(),
        settings.weights and settings.weights.resolve(),
        threads=settings.cpus_per_trial,
        keep_every_epoch=settings.keep_every_epoch,
        keep_predictions=settings.keep_predictions,
        share_of_gpu=min(1.0, size.gpus) or 1.0,
    )


def local_cpus() -> int:
    """Count the CPUs of a local Ray: this machine's, and one more for Ray Data's reading."""
    return len(os.sched_getaffinity(0)) + 1
