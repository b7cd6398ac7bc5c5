"""Run one evaluation: find the pairs, plan, run, and print the closing tables."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from rich.console import Console, RenderableType
from rich.text import Text

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import Selection, select
from orchestrator.cli.trust import require_consent
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
    with_weights,
)
from orchestrator.execution.dry_run import show_plan
from orchestrator.execution.executor import check_device
from orchestrator.execution.image_sizes import as_tuned
from orchestrator.execution.plan import Plan, make_plan, with_strangers
from orchestrator.execution.preflight import check_trials, check_weights, fetch_weights
from orchestrator.execution.run_lock import acquire
from orchestrator.execution.session import Label, Session
from orchestrator.execution.settings import RunSettings
from orchestrator.execution.setup import outcomes, read_costs
from trainables.data.shards import Manifest, describe_copies, list_rois
from trainables.spec import PROTOCOLS, Roi, Trial
from trainables.spec.evaluation import WorkItem


@dataclass(frozen=True)
class EvaluationSettings:
    """The settings of one evaluation."""

    kind: str
    """``transfer``, ``nod``, ``pooled`` or ``rois``."""
    run: RunSettings
    selection: Selection = field(default_factory=Selection)
    """The ROIs to score."""
    choice: Choice = field(default_factory=Choice)
    exclude_training_images: bool = False
    trust_code: bool = False
    """Whether to run code of users' files that the run directory holds."""


@dataclass(frozen=True)
class Kind:
    """The pairs that a subcommand evaluates."""

    pairing: Pairing
    takes: Callable[[Roi], bool] = lambda roi: True
    """Returns whether it scores an ROI of the data."""
    with_untuned: bool = False
    """Whether to score the untuned backbone on the same ROIs too, which no sweep does."""
    nothing: str = "no model serves any of the chosen ROIs"
    """The message if there is no pair."""


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
    """Plan and run an evaluation; return the ids of failed evaluations.

    Raises InputError (or ValueError) for invalid input, before anything is run.
    """
    run, rois = settings.run, list_rois(settings.run.data, whole=True)
    models = find_models(run.runs, rois)
    sizes = read_costs(run)
    work_items = _work_items(settings, models.trials, rois, sizes.manifests)
    costs = sizes.calibrated(outcomes(run.runs, work_items))
    check_device(run)

    def make() -> Plan:
        made = make_plan(work_items, run.runs, costs, run.started.only)
        plan = with_weights(made, run.runs)
        notes = (*describe_copies(run.data), *pair_notes(plan, models, run.data))
        return replace(plan, notes=(*notes, *plan.notes))

    first = make()  # raises for invalid input before anything is written
    check_trials(first.waiting, costs, on_cluster=run.on_cluster)
    if run.dry_run:
        show_plan(with_strangers(first, run.runs), costs, run, console, "evaluations")
        return []
    fetch_weights(first.waiting, run.locations.weights, on_cluster=run.on_cluster)
    with acquire(run.runs, f"evaluate {settings.kind}"):
        label = Label("evaluate", settings.kind, "evaluations")
        planned = with_strangers(make(), run.runs)
        session = Session(run, planned, costs, label, lambda: _closing(run, work_items))
        return session.run(console)


def _work_items(
    settings: EvaluationSettings,
    models: Sequence[Trial],
    rois: Sequence[Roi],
    manifests: Mapping[str, Manifest],
) -> list[WorkItem]:
    """List the evaluations and baselines; raise InputError if there are none."""
    kind, run = KINDS[settings.kind], settings.run
    chosen = choose(models, settings.choice)
    recorded = [trial.backbone for trial in chosen]
    require_consent(recorded, run.runs, trust_code=settings.trust_code)
    taken = [roi for roi in rois if kind.takes(roi)]
    if not taken:
        raise InputError(f"{run.data}: holds no subject of NOD; ingest it first")
    pairs = evaluations(
        chosen,
        select(taken, settings.selection),
        kind.pairing,
        exclude_training_images=settings.exclude_training_images,
    )
    if not pairs:
        raise InputError(f"nothing to evaluate: {kind.nothing}")
    pairs = as_tuned(pairs, manifests)
    untuned = baselines(pairs) if kind.with_untuned else ()
    for backbone in {trial.backbone for trial in untuned}:
        check_weights(backbone, run.locations.weights)  # raises early for unusable weights
    return [*pairs, *untuned]


def _closing(run: RunSettings, work_items: Sequence[WorkItem]) -> Iterable[RenderableType]:
    """Yield the tables of the evaluations, next to the sweep's own scores."""
    runs = run.runs
    if not runs.has_scores(one.id for one in work_items):
        return
    from orchestrator.scores.display.style import mark_simulated
    from orchestrator.scores.display.transfer_tables import transfer_tables
    from orchestrator.scores.filters import of_latest_data, started_in
    from orchestrator.scores.overlap_notes import overlap_notes
    from orchestrator.scores.score_table import read_score_table
    from orchestrator.scores.statistics.transfers import measure_transfers, transfers

    table = read_score_table(runs)
    asked = {one.id for one in work_items}
    others = {key for key, one in table.trials.items() if isinstance(one, Trial)}
    evaluated = table.keep("trial_id", asked).present("protocol")
    protocol = next(p for p in PROTOCOLS if p in evaluated)
    kept = table.keep("trial_id", asked | others).keep("protocol", [protocol])
    chosen, _ = of_latest_data(kept, started_in(runs))
    measured = measure_transfers(chosen, runs, run.data)
    tables = transfer_tables(transfers(chosen, measured), protocol)
    yield from map(mark_simulated, tables) if chosen.is_simulated else tables
    yield from map(Text, overlap_notes(chosen))
    yield Text(f"more of these: python -m orchestrator.scores --out {runs} --by model")
