"""Steps from a sweep's settings to a run: ROIs, weights, costs, jobs, the connection to Ray."""

import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import Selection, select
from orchestrator.cluster.capacity import WorkerGroupSize
from orchestrator.cluster.connection import connect
from orchestrator.cluster.jobs import Job
from orchestrator.cluster.watchdog import stall_timeout_for
from orchestrator.execution.cost import Costs
from orchestrator.execution.settings import SweepSettings
from trainables.data.shards import list_rois
from trainables.models.backbones import weights_name
from trainables.results.outcome import Outcome
from trainables.spec import Roi, Trial
from trainables.spec.evaluation import WorkItem
from trainables.worker.context import RunContext


def read_costs(settings: SweepSettings) -> Costs:
    """Read what trials on a sweep's data cost, with the sweep's resources."""
    return Costs.read(
        settings.data,
        gpus=bool(settings.gpus_per_trial),
        threads=settings.cpus_per_trial,
        workers=settings.workers_per_trial,
    )


def chosen_rois(settings: SweepSettings) -> list[Roi]:
    """List the ROIs of a sweep's data that it is restricted to."""
    selection = Selection(settings.subjects, settings.hemispheres, settings.rois)
    return select(list_rois(settings.data), selection)


def name_weights(settings: SweepSettings) -> str | None:
    """Name the weights file of a sweep by content; None where none is given."""
    if settings.weights is None:
        return None
    if not settings.weights.is_file():
        raise InputError(f"{settings.weights}: no such file; give --weights a state dict")
    return weights_name(settings.weights)


def outcomes(runs: Path, trials: Sequence[WorkItem]) -> list[Outcome]:
    """Read how these have ended, of those that have."""
    found = (Outcome.read(runs, trial.id) for trial in trials)
    return [outcome for outcome in found if outcome is not None]


def epochs_of(work_item: WorkItem) -> int:
    """Count the epochs that a trial fine-tunes; 0 where nothing is fine-tuned."""
    return getattr(work_item.objective, "epochs", 0) if isinstance(work_item, Trial) else 0


def make_job(
    work_item: WorkItem,
    costs: Costs,
    stall_timeout: float | None,
    *,
    awaits_scheduler: bool = False,
) -> Job:
    """Make a job; evaluations train nothing, so any number may read one checkpoint at a time.

    stall_timeout: seconds without progress after which its worker is started anew; None: by its
    cost.
    """
    training_id = work_item.training_id if isinstance(work_item, Trial) else ""
    seconds = (
        stall_timeout_for(costs.estimate(work_item).seconds)
        if stall_timeout is None
        else stall_timeout
    )
    return Job(
        work_item.id, work_item.to_json(), work_item.shards, training_id, seconds, awaits_scheduler
    )


def connect_and_report() -> str:
    """Connect to Ray, and say where its dashboard is."""
    dashboard = connect(local_cpus(), include_dashboard=True)
    token = "   (if it asks for a token: ray get-auth-token)"
    return f"Ray dashboard: {dashboard + token if dashboard else 'none'}"


def run_context_of(settings: SweepSettings, size: WorkerGroupSize) -> RunContext:
    """Say where the trials of a sweep run."""
    return RunContext(
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
