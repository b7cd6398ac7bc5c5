"""Run one sweep, from its settings to its closing table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console, RenderableType

from orchestrator.cli.arguments import DEMO
from orchestrator.cli.selection import select
from orchestrator.execution.dry_run import show_plan
from orchestrator.execution.executor import check_device
from orchestrator.execution.image_sizes import interpolation_notes, with_images
from orchestrator.execution.plan import Plan, make_plan, with_strangers
from orchestrator.execution.preflight import (
    check_backbones,
    check_rois,
    check_trials,
    fetch_weights,
)
from orchestrator.execution.run_lock import acquire
from orchestrator.execution.session import Label, Session
from orchestrator.execution.settings import RunSettings
from orchestrator.execution.setup import name_weights, outcomes, read_costs
from orchestrator.sweep.hyperparameters import read_hyperparameters, with_hyperparameters
from orchestrator.sweep.settings import SweepSettings, TrialChanges
from orchestrator.sweep.spaces import (
    Space,
    asks_for_whole,
    expand,
    load_space,
    space_file,
    space_notes,
    with_seeds,
)
from trainables.data.shards import Manifest, describe_copies, list_rois
from trainables.spec import Roi, Trial
from trainables.storage.atomic import hash_file


def sweep(settings: SweepSettings, console: Console) -> list[str]:
    """Plan and run a sweep; return the ids of the trials that failed.

    Raises InputError (or ValueError) for invalid input, before anything is run.
    """
    run, space = settings.run, load_space(settings.space)
    if settings.space == "demo" and run.data.path == DEMO / "data":
        _prepare_demo(run, console)
    known = list_rois(run.data, whole=True)
    rois = select(known, settings.selection, whole=asks_for_whole(space))
    sizes = read_costs(run)
    trials = _trials(settings, space, rois, sizes.manifests)
    check_rois(trials, known)
    missing = check_backbones(trials, run.locations.weights, sizes)
    costs = sizes.calibrated(outcomes(run.runs, trials))
    check_device(run)
    resized = interpolation_notes(trials, sizes.manifests)
    notes = (*describe_copies(run.data), *space_notes(space, rois), *missing, *resized)

    def plan() -> Plan:
        made = make_plan(trials, run.runs, costs, run.started.only)
        return replace(made, notes=(*notes, *made.notes))

    first = plan()  # raises for invalid input before anything is written
    check_trials(first.waiting, costs, on_cluster=run.on_cluster)
    if run.dry_run:
        show_plan(with_strangers(first, run.runs), costs, run, console)
        return []
    fetch_weights(first.waiting, run.locations.weights, on_cluster=run.on_cluster)
    with acquire(run.runs, f"sweep {settings.space}"):
        name, digested = Path(settings.space).stem, _digest(settings.changes)
        label = Label("sweep", name, "trials", digested, space_file(space))
        planned = with_strangers(plan(), run.runs)
        session = Session(
            run,
            planned,
            costs,
            label,
            lambda: _closing(settings, trials),
            lambda: _headline(settings, trials),
        )
        return session.run(console)


def _prepare_demo(run: RunSettings, console: Console) -> None:
    """Make the demonstration's data. Ray reads its images, so even a local run needs Ray once."""
    from orchestrator.sweep.demo import is_prepared, prepare_demo

    if run.local and is_prepared(DEMO):
        return
    from orchestrator.execution.ray_executor import connect_to_ray

    # Else ingest would start a Ray of its own, without the sweep's dashboard and CPUs.
    prepare_demo(DEMO, console, lambda: connect_to_ray(run))


def _digest(changes: TrialChanges) -> str | None:
    """Hash the content of the hyperparameter file; return None if none is given."""
    return hash_file(changes.hyperparameters)[:16] if changes.hyperparameters else None


def _headline(settings: SweepSettings, trials: Sequence[Trial]) -> dict[str, float]:
    """Average the scores of a sweep, for MLflow."""
    from orchestrator.scores.mean_scores import mean_scores  # imports pandas

    return mean_scores(settings.run.runs, [trial.id for trial in trials])


def _closing(settings: SweepSettings, trials: Sequence[Trial]) -> Iterator[RenderableType]:
    """Yield a table of each fine-tuned method against untuned, if both have scores."""
    from orchestrator.scores.display.score_tables import closing_table  # imports pandas

    ids = [trial.id for trial in trials]
    run, is_demo = settings.run, settings.space == "demo"
    table = closing_table(run.runs, run.data, ids, by="roi" if is_demo else "group")
    if table is not None:
        yield table


def _trials(
    settings: SweepSettings,
    space: Space,
    rois: Sequence[Roi],
    manifests: Mapping[str, Manifest],
) -> list[Trial]:
    """List the space's trials, with their images and the changes of the command line."""
    changes = settings.changes
    yielded = expand(space, rois, name_weights(settings.run.locations.weights))
    trials = with_images(yielded, manifests)
    if changes.precision is not None:
        trials = [one.in_precision(changes.precision) for one in trials]
    if changes.deterministic:
        trials = [one.as_deterministic() for one in trials]
    if changes.hyperparameters is not None:
        trials = with_hyperparameters(trials, read_hyperparameters(changes.hyperparameters))
    return with_seeds(trials, changes.seeds)
