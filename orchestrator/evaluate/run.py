"""One evaluation from its settings to its closing lines: pairs, the plan, the run, the tables."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from rich.console import Console, RenderableType
from rich.text import Text

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import Selection, select
from orchestrator.evaluate.pairs import (
    NOD,
    Choice,
    Pairing,
    baselines,
    choose,
    evaluations,
    find_models,
    is_any,
    is_onto_nod,
    is_pooled,
    is_transfer,
    pair_notes,
)
from orchestrator.execution.cost import Costs
from orchestrator.execution.dry_run import show_plan
from orchestrator.execution.plan import Plan, make_plan
from orchestrator.execution.run_lock import acquire
from orchestrator.execution.session import Running
from orchestrator.execution.settings import SweepSettings
from orchestrator.execution.setup import outcomes
from orchestrator.scores.display.transfer_tables import transfer_tables
from orchestrator.scores.filters import one_trial_per_roi, started_in
from orchestrator.scores.overlap_notes import overlap_notes
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.transfers import transfers
from trainables.data.shards import list_rois
from trainables.models.backbones import load
from trainables.spec import PROTOCOLS, Roi, Trial
from trainables.spec.evaluation import WorkItem


@dataclass(frozen=True)
class EvaluationSettings:
    """One evaluation as it was asked for."""

    kind: str
    """``transfer``, ``nod``, ``pooled`` or ``rois``."""
    running: SweepSettings
    """Where and how it runs, and which ROIs are scored; ``space`` is the kind."""
    choice: Choice = field(default_factory=Choice)
    exclude_training_images: bool = False


@dataclass(frozen=True)
class Kind:
    """What one of the subcommands pairs."""

    pairing: Pairing
    takes: Callable[[Roi], bool] = lambda roi: True
    """Which ROIs of the data it scores."""
    with_untuned: bool = False
    """Whether the untuned backbone is scored on the same ROIs, which no sweep has done."""
    nothing: str = "no model serves any of the chosen ROIs"
    """What to say where there is no pair."""


KINDS: Final = {
    "transfer": Kind(
        is_transfer, nothing="no chosen ROI has a model of one subject and an ROI of another"
    ),
    "nod": Kind(
        is_onto_nod,
        takes=lambda roi: roi.dataset == NOD,
        with_untuned=True,
        nothing="no chosen NOD ROI has a model of its NSD ROI and hemisphere",
    ),
    "pooled": Kind(
        is_pooled,
        nothing="every chosen subject of a pooled model is in its pool, and scored by its trial",
    ),
    "rois": Kind(is_any, nothing="the chosen models score these ROIs in their own trials"),
}


def evaluate(settings: EvaluationSettings, console: Console) -> list[str]:
    """Plan and run an evaluation; return the ids of those that failed.

    Raises InputError (or ValueError) when the input can't be used, before anything is run.
    """
    running, kind = settings.running, KINDS[settings.kind]
    rois = list_rois(running.data)
    models = find_models(running.out, rois)
    pairs = evaluations(
        choose(models.trials, settings.choice),
        _targets(running, kind, rois),
        kind.pairing,
        exclude_training_images=settings.exclude_training_images,
    )
    if not pairs:
        raise InputError(f"nothing to evaluate: {kind.nothing}")
    work_item: list[WorkItem] = [
        *pairs,
        *(_checked(running, baselines(pairs)) if kind.with_untuned else ()),
    ]
    costs = Costs.read(
        running.data, gpus=bool(running.gpus_per_trial), threads=running.cpus_per_trial
    ).calibrated(outcomes(running.out, work_item))

    def make() -> Plan:
        plan = make_plan(work_item, running.out, costs, running.started.only)
        notes = pair_notes(plan, models, running.data, running.out)
        return replace(plan, notes=(*notes, *plan.notes))

    first = make()  # refuses what can't be run, before anything is written
    if running.dry_run:
        show_plan(first, costs, running.max_concurrent, console, "evaluations")
        return []
    with acquire(running.out, f"evaluate {settings.kind}"):
        return Running(
            running,
            make(),
            costs,
            console,
            command="evaluate",
            noun="evaluations",
            closing=lambda: _closing(running, work_item),
        ).run()


def _targets(running: SweepSettings, kind: Kind, rois: Sequence[Roi]) -> list[Roi]:
    taken = [roi for roi in rois if kind.takes(roi)]
    if not taken:
        raise InputError(f"{running.data}: holds no subject of NOD; ingest it first")
    return select(taken, Selection(running.subjects, running.hemispheres, running.rois))


def _checked(running: SweepSettings, untuned: Sequence[Trial]) -> Sequence[Trial]:
    """Return untuned trials, after making sure that their weights can be loaded."""
    for backbone in {trial.backbone for trial in untuned}:
        load(backbone, running.weights)
    return untuned


def _closing(running: SweepSettings, work_item: Sequence[WorkItem]) -> Iterable[RenderableType]:
    """Yield the tables of what was evaluated, beside the sweep's own scores."""
    if not any((running.out / "scores" / one.id).is_dir() for one in work_item):
        return
    table = read_score_table(running.out)
    asked = {one.id for one in work_item}
    others = {key for key, one in table.trials.items() if isinstance(one, Trial)}
    evaluated = table.vertices.loc[table.vertices["trial_id"].isin(asked), "protocol"]
    protocol = next(p for p in PROTOCOLS if p in set(evaluated))
    kept = table.vertices["trial_id"].isin(asked | others)
    of_protocol = table.vertices["protocol"] == protocol
    chosen, _ = one_trial_per_roi(table.where(kept & of_protocol), started_in(running.out))
    yield from transfer_tables(transfers(chosen), protocol)
    yield from map(Text, overlap_notes(chosen))
    yield Text(f"more of these: python -m orchestrator.scores --out {running.out} --by model")
