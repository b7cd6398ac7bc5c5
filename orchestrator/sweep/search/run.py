"""Run a hyperparameter search round by round, from its settings to the file of results.

All state is derived from the trials' outcomes: before each round, the searcher is rebuilt from the
earlier rounds, and each ROI's scheduler from the epochs of its trials. The same command therefore
resumes a search that was killed.
"""

from pathlib import Path

from rich.console import Console

from orchestrator.cli.errors import InputError
from orchestrator.cli.process import command_line
from orchestrator.cli.values import default_experiment
from orchestrator.execution.narration import Narrator
from orchestrator.execution.preflight import fetch_weights
from orchestrator.execution.run_lock import acquire
from orchestrator.execution.settings import RunSettings
from orchestrator.sweep.search.plan import read_progress, show_plan
from orchestrator.sweep.search.rounds import Progress
from orchestrator.sweep.settings import SweepSettings
from orchestrator.tracking.background import start_tracker
from orchestrator.tracking.identity import Sweep
from orchestrator.tracking.mlflow_store import tracking_uri
from trainables.data.shards import any_simulated
from trainables.spec.search import Search


def search_hyperparameters(settings: SweepSettings, search: Search, console: Console) -> list[str]:
    """Run a search up to its hyperparameter file; return the ids of the trials that failed.

    Raises InputError (or ValueError) for invalid input, before anything is run.
    """
    progress = read_progress(settings, search)
    if settings.run.dry_run:
        show_plan(settings, progress, console)
        return []
    run = settings.run
    fetch_weights(progress.largest(), run.locations.weights, on_cluster=run.on_cluster)
    with acquire(settings.run.runs, f"sweep {settings.space}"):
        names: dict[str, str] = {}
        identity = _identity(settings, progress, names)
        narrator = Narrator(console, "trials")
        return _run(settings.run, progress, identity, narrator, names)


def _identity(settings: SweepSettings, progress: Progress, names: dict[str, str]) -> Sweep:
    """Describe the search for MLflow. names: of the trials' runs, filled as rounds are proposed."""
    run = settings.run
    rois = [roi for region in progress.regions for roi in region]
    experiment = run.experiment or default_experiment(
        rois[0].dataset, is_simulated=any_simulated(run.data, (roi.shard for roi in rois))
    )
    space, fingerprint = Path(settings.space).stem, run.data.fingerprint()
    return Sweep(
        experiment,
        space,
        run.data,
        run.runs,
        fingerprint,
        command_line=command_line(run.started),
        names=names,
    )


def _run(
    settings: RunSettings,
    progress: Progress,
    identity: Sweep,
    narrator: Narrator,
    names: dict[str, str],
) -> list[str]:
    """Run the remaining rounds, mirror trials, and write the results when all have ended."""
    from orchestrator.cluster.job_runner import QueueLost
    from orchestrator.sweep.search.conclusion import conclude  # imports matplotlib
    from orchestrator.sweep.search.round_runner import RoundRunner  # imports Ray

    warnings: list[str] = []
    tracker = start_tracker(identity, warnings.append)
    failures: dict[str, str] = {}
    complete = False
    try:
        failures = RoundRunner(settings, progress, narrator, tracker, names).run()
        complete = not failures
    except QueueLost as lost:
        raise InputError(f"{lost}; run the same command again to resume") from lost
    finally:
        unlogged = tracker.close(complete=complete)
    if complete:
        conclude(progress, identity, narrator)
    narrator.say(f"MLflow: {tracking_uri()}, experiment {identity.experiment}")
    if unlogged:
        message = warnings[-1] if warnings else "MLflow could not be written"
        narrator.say(
            f"{message}; {len(set(unlogged))} trials are missing: run the same command again"
        )
    for trial_id, error in failures.items():
        narrator.say(f"failed (run the same command to retry it): {trial_id}: {error}")
    return list(failures)
