"""Plan a search: its ROIs and backbone, and the work that is left."""

from statistics import fmean

from rich.console import Console

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import select
from orchestrator.cli.text import duration
from orchestrator.execution.image_sizes import chosen_for
from orchestrator.execution.preflight import check_trials, check_weights
from orchestrator.execution.setup import name_weights, read_costs
from orchestrator.sweep.search.rounds import Progress
from orchestrator.sweep.settings import SweepSettings
from orchestrator.sweep.spaces import start_from
from trainables.data.shards import describe_copies, list_rois
from trainables.spec import Pooled
from trainables.spec.search import Search


def read_progress(settings: SweepSettings, search: Search) -> Progress:
    """Choose a search's ROIs and backbone, and read its progress so far.

    Raises InputError (or ValueError) when the data has no suitable ROI or the weights are invalid.
    """
    regions = search.choose(select(list_rois(settings.run.data, whole=True), settings.selection))
    if not regions:
        pooled = " in two subjects" if search.kind is Pooled else ""
        raise InputError(
            f"the data has no ROI of more than {search.min_vertices} vertices{pooled}, streams "
            "left out"
        )
    weights = settings.run.locations.weights
    costs = read_costs(settings.run)
    subjects = dict.fromkeys(roi.shard for rois in regions for roi in rois)
    backbone = chosen_for(
        start_from(search.backbone, name_weights(weights)),
        [costs.manifests[shard] for shard in subjects],
    )
    check_weights(backbone, weights)  # raises here for what would fail on every worker
    progress = Progress(search, settings.searcher, regions, backbone, settings.run.runs)
    run = settings.run
    check_trials(progress.largest(), costs, on_cluster=run.on_cluster)
    return progress


def show_plan(settings: SweepSettings, progress: Progress, console: Console) -> None:
    """Print what a search has done and what is left to do."""
    search, costs = progress.search, read_costs(settings.run)
    *_, current = progress.rounds()
    records = progress.records()
    n_trials = search.n_configurations * len(progress.regions)
    places = [
        search.trial(search.ranges.smallest, one, progress.backbone).place
        for one in progress.regions
    ]
    each = [costs.estimate(trial).seconds for _, trial in current.trials]
    left = (n_trials - len(records)) * fmean(each) if each else 0.0
    n_stopped = sum(one.stopped for one in records)
    for line in (
        f"{len(places)} ROIs of more than {search.min_vertices} vertices: {', '.join(places)}",
        f"{search.n_configurations} configurations by {progress.searcher} in {search.n_rounds} "
        f"rounds of {search.per_round}: {n_trials} trials, {len(records)} done "
        f"({n_stopped} stopped); in round {current.number + 1}",
        f"at most {duration(left)} of work is left, if no trial is stopped",
        f"results: {progress.home.address}",
        *describe_copies(settings.run.data),
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
