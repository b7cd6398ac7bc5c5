"""Plan the trials of a sweep: a search space on the selected ROIs, without finished trials.

Evaluations are planned in the same way, from the pairs of models and ROIs in ``pairs.py``.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from orchestrator.cli.problems import summed_up
from orchestrator.execution.cost import Costs
from trainables.results.complete_scores import is_scored
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.strangers import describe_strangers, find_strangers
from trainables.spec import Roi, Trial
from trainables.spec.evaluation import WorkItem
from trainables.storage.threads import map_reads


@dataclass(frozen=True)
class Plan:
    """A sweep's trials, or evaluations, in the order in which they run."""

    trials: tuple[WorkItem, ...]
    """All trials of the space, merged by id."""
    waiting: tuple[WorkItem, ...]
    """Trials that are not finished; untuned trials and evaluations list the ROIs to score."""
    notes: tuple[str, ...] = ()
    """Notes of the space on its trials, such as what it leaves out, and damaged files that are
    computed again."""

    @property
    def n_done(self) -> int:
        """Count the finished trials."""
        return len(self.trials) - len(self.waiting)


def make_plan(
    trials: Sequence[WorkItem],
    runs: RunDirectory,
    costs: Costs,
    only: Collection[str] | None = None,
) -> Plan:
    """Remove finished trials, and order the rest: subject by subject, the longest first.

    A trial is finished if its outcome says so and all its scores are there; one with scores but
    without an outcome was interrupted between the two, and waits to be completed.
    Trials of several subjects come first: they take longest, and short ones fill the end. only: ids
    of the waiting trials to run; None: all.
    """
    waiting: list[WorkItem] = []
    damaged: list[str] = []
    found = map_reads(lambda trial: _found(runs, trial), trials)
    for trial, (outcome, left, complaints) in zip(trials, found, strict=True):
        damaged += complaints
        stopped = outcome is not None and outcome.status == "stopped"
        finished = outcome is not None and outcome.status == "finished"
        is_done = finished and (trial.encoding is None or not left)
        chosen = only is None or trial.id in only
        if chosen and not stopped and not is_done:
            waiting.append(_to_score(trial, left, outcome))
    rank = {t.id: (-len(t.shards), t.shards, -costs.estimate(t).seconds, t.id) for t in waiting}
    ordered = tuple(sorted(waiting, key=lambda trial: rank[trial.id]))
    return Plan(tuple(trials), ordered, tuple(summed_up(damaged)))


def _found(runs: RunDirectory, trial: WorkItem) -> tuple[Outcome | None, list[Roi], list[str]]:
    """Read a trial's outcome; list its ROIs without scores, and complaints on damaged files."""
    damaged: list[str] = []
    left = [roi for roi in trial.rois if not is_scored(runs, trial.id, roi.id, damaged)]
    return Outcome.read(runs, trial.id), left, damaged


def with_strangers(plan: Plan, runs: RunDirectory) -> Plan:
    """Add a note on the files that no record lists, which reads the records of all files."""
    left_out = describe_strangers(find_strangers(runs))
    return replace(plan, notes=(*plan.notes, left_out)) if left_out else plan


def _to_score(work_item: WorkItem, left: Sequence[Roi], outcome: Outcome | None) -> WorkItem:
    """Return the part of a trial or evaluation left to do; a fine-tuned trial keeps all its ROIs.

    If ROIs were added after it had ended, only these are scored. If it was interrupted or has lost
    scores, all its ROIs are scored: rounding in matrix products depends on their size, so scores
    of some of the ROIs equal those of an uninterrupted run only to the seventh digit.
    """
    is_finetuned = isinstance(work_item, Trial) and not work_item.is_of_subject
    ended = outcome.trial.rois if outcome and outcome.status == "finished" else ()
    is_added = ended and not set(left) & set(ended)
    return work_item.scoring(left) if is_added and not is_finetuned else work_item
