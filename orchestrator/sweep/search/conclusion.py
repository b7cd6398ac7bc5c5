"""Conclude a search: the file of the best hyperparameters, figures and a table."""

import shlex
from datetime import UTC, datetime

from orchestrator.execution.narration import Narrator
from orchestrator.scores.display.style import SIMULATED, mark_simulated
from orchestrator.sweep.hyperparameters import Found
from orchestrator.sweep.search.rounds import Progress
from orchestrator.sweep.search.summary import (
    best_table,
    draw,
    freeze,
    standings,
    summarise_best,
    write_history,
)
from orchestrator.tracking.identity import Sweep
from trainables.data.shards import any_simulated
from trainables.results.provenance import code_version


def conclude(progress: Progress, identity: Sweep, narrator: Narrator) -> None:
    """Write the best configuration and the figures of a complete search, and print the results."""
    *_, last = progress.rounds()
    records = progress.records()
    ranked = standings(progress.configurations, records)
    write_history(progress.home.path, records)
    shards = [roi.shard for rois in progress.regions for roi in rois]
    simulated = any_simulated(identity.data, shards)
    ends = [o.started + sum(o.seconds.values()) for _, o in progress.outcomes()]
    found = Found(
        space=identity.space,
        searcher=progress.searcher,
        seed=progress.search.seed,
        rois=tuple(roi.id for rois in progress.regions for roi in rois),
        n_configurations=len(progress.configurations),
        best=summarise_best(ranked),
        validation=progress.search.validation,
        dataset_fingerprint=identity.fingerprint,
        code_version=code_version(),
        date=datetime.fromtimestamp(max(ends), UTC).isoformat(timespec="seconds"),
        is_simulated=simulated,
    )
    frozen = freeze(progress.home.path, ranked, found)
    figures = draw(
        progress.home.path, progress.study(last.number + 1), ranked, SIMULATED if simulated else ""
    )
    table = best_table(ranked)
    narrator.console.print(mark_simulated(table) if simulated else table)
    narrator.say(f"figures: {', '.join(str(path) for path in figures)}")
    narrator.say(f"hyperparameters: {frozen}")
    narrator.say(
        "use them: python -m orchestrator.sweep paper --data DATA --out RUNS "
        f"--hyperparameters {shlex.quote(str(frozen))}"
    )
