"""One sweep from its settings to its closing table."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import Console, RenderableType

from orchestrator.cli.arguments import DEMO
from orchestrator.cluster.connection import connect
from orchestrator.execution.dry_run import show_plan
from orchestrator.execution.plan import Plan, make_plan
from orchestrator.execution.run_lock import acquire
from orchestrator.execution.session import Running
from orchestrator.execution.settings import SweepSettings
from orchestrator.execution.setup import (
    chosen_rois,
    local_cpus,
    name_weights,
    outcomes,
    read_costs,
)
from orchestrator.scores.display.score_tables import closing_table
from orchestrator.sweep.demo import prepare_demo
from orchestrator.sweep.hyperparameters import read_hyperparameters, with_hyperparameters
from orchestrator.sweep.spaces import Space, expand, load_space, space_notes
from trainables.models.backbones import layer_extractor, load
from trainables.spec import Roi, Trial


def sweep(settings: SweepSettings, console: Console) -> list[str]:
    """Plan and run a sweep; return the ids of the trials that failed.

    Raises InputError (or ValueError) when the input can't be used, before anything is run.
    """
    space = load_space(settings.space)
    if settings.space == "demo" and settings.data == DEMO / "data":
        connect(local_cpus(), include_dashboard=True)  # ingest would start one for itself alone
        prepare_demo(DEMO, console)
    rois = chosen_rois(settings)
    trials = _trials(settings, space, rois)
    costs = read_costs(settings).calibrated(outcomes(settings.out, trials))
    notes = space_notes(space, rois)

    def plan() -> Plan:
        made = make_plan(trials, settings.out, costs, settings.started.only)
        return replace(made, notes=(*notes, *made.notes))

    first = plan()  # refuses what can't be run, before anything is written
    if settings.dry_run:
        show_plan(first, costs, settings.max_concurrent, console)
        return []
    with acquire(settings.out, f"sweep {settings.space}"):
        return Running(settings, plan(), costs, console, lambda: _closing(settings, trials)).run()


def _closing(settings: SweepSettings, trials: Sequence[Trial]) -> Iterator[RenderableType]:
    """Yield the table of each fine-tuned method against untuned, if there are scores of both."""
    ids = [trial.id for trial in trials]
    table = closing_table(settings.out, ids, by="roi" if settings.space == "demo" else "group")
    if table is not None:
        yield table


def _trials(settings: SweepSettings, space: Space, rois: Sequence[Roi]) -> list[Trial]:
    """List the space's trials, and refuse what would fail on every worker."""
    trials = expand(space, rois, name_weights(settings))
    if settings.precision is not None:
        trials = [one.in_precision(settings.precision) for one in trials]
    if settings.deterministic:
        trials = [one.as_deterministic() for one in trials]
    if settings.hyperparameters is not None:
        trials = with_hyperparameters(trials, read_hyperparameters(settings.hyperparameters))
    for backbone in {trial.backbone for trial in trials}:
        network = load(backbone, settings.weights)
        for layers in {t.encoding.layers for t in trials if t.backbone == backbone and t.encoding}:
            layer_extractor(network, layers)
    return trials
