"""Run a sweep from Python."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from orchestrator.api.locations import Location
from orchestrator.cli.arguments import data_directory, run_directory
from orchestrator.cli.selection import Selection, parse_rois
from orchestrator.execution.run_record import Command
from orchestrator.execution.settings import Locations, RunSettings
from orchestrator.sweep.run import sweep as run_sweep
from orchestrator.sweep.settings import SweepSettings, TrialChanges
from trainables.results.outcome import Outcome


def sweep(
    space: Location,
    *,
    data: Location,
    out: Location,
    weights: Location | None = None,
    subjects: Sequence[int] | None = None,
    hemispheres: Sequence[str] | None = None,
    rois: Sequence[str] | None = None,
    seeds: int = 1,
    local: bool = False,
) -> list[Outcome]:
    """Run all unfinished trials of a search space; return the outcomes of all its trials.

    space: name of a file in search_spaces/, or path of a file with ``trials(rois)``. data:
    directory of the shards. out: directory of the results. weights: state dict that every backbone
    starts from. subjects, hemispheres, rois (names, or groups such as ``early``): what it is
    restricted to; None: all. seeds: trials of each fine-tuning. local: run in this process, without
    Ray. A sweep that was interrupted is resumed by the same call. Raises ValueError for bad input,
    before anything is run.
    """
    runs = run_directory(str(out))
    selection = Selection(
        subjects=None if subjects is None else tuple(sorted(subjects)),
        hemispheres=None if hemispheres is None else tuple(hemispheres),
        rois=None if rois is None else parse_rois(",".join(rois)),
    )
    start = None if weights is None else Path(weights)
    settings = SweepSettings(
        str(space),
        RunSettings(Locations(data_directory(str(data)), runs, start), local=local),
        selection,
        TrialChanges(seeds=seeds),
    )
    run_sweep(settings, Console())
    ended = (Outcome.read(runs, trial_id) for trial_id in Command.read(runs).trials)
    return [one for one in ended if one is not None]
