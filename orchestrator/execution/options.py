"""Convert the parameters of a command line to the settings of a run."""

from orchestrator.cli.arguments import ExecutionOptions
from orchestrator.cli.process import Started
from orchestrator.cluster.worker_resources import WorkerResources
from orchestrator.execution.settings import Locations, RunSettings, TrialOptions
from trainables.training.checkpoint_notes import Keep


def run_settings(
    locations: Locations,
    execution: ExecutionOptions,
    experiment: str | None,
    started: Started,
    *,
    workers_per_trial: int = 1,
    keep: Keep = "best",
) -> RunSettings:
    """Make the settings of a run; raise InputError for contradictory options."""
    execution.check()
    return RunSettings(
        locations,
        WorkerResources(
            execution.cpus_per_trial,
            execution.gpus_per_trial,
            workers_per_trial,
            execution.max_concurrent,
            execution.share_gpus,
        ),
        TrialOptions(
            retries=execution.retries,
            stall_timeout=execution.stall_timeout,
            keep=keep,
            keep_predictions=not execution.no_predictions,
        ),
        experiment=experiment,
        local=execution.local,
        dashboard=not execution.no_dashboard,
        dry_run=execution.dry_run,
        started=started,
    )
