"""Which trials a sweep runs: a search space on the chosen ROIs, less what is done.

Evaluations are planned alike, from the list that ``pairs.py`` makes of a sweep's models.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from orchestrator.execution.cost import Costs
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_score_file
from trainables.spec import Roi, Trial, Untuned
from trainables.spec.evaluation import WorkItem


@dataclass(frozen=True)
class Plan:
    """A sweep's trials, or evaluations, in the order they are run."""

    trials: tuple[WorkItem, ...]
    """Every trial of the space, merged."""
    waiting: tuple[WorkItem, ...]
    """Those that still have ROIs to score; all but fine-tuned trials with these ROIs alone."""
    notes: tuple[str, ...] = ()
    """What the space says of its trials on these ROIs, such as what it leaves out; files that are
    damaged, and made again."""

    @property
    def n_done(self) -> int:
        """Count the trials that nothing is left to do for."""
        return len(self.trials) - len(self.waiting)


def make_plan(
    trials: Sequence[WorkItem],
    runs: RunDirectory,
    costs: Costs,
    only: Collection[str] | None = None,
) -> Plan:
    """Take away what is done, and order the rest: subject by subject, the longest first.

    Trials of several subjects go first: they are the longest, and short ones fill the end. only:
    ids of those to run, of those that wait; None: all.
    """
    waiting: list[WorkItem] = []
    damaged: list[str] = []
    for trial in trials:
        outcome = Outcome.read(runs, trial.id)
        left = [roi for roi in trial.rois if not _is_scored(runs, trial, roi, damaged)]
        stopped = outcome is not None and outcome.status == "stopped"
        finetuned = outcome is not None and outcome.status == "finished" and trial.encoding is None
        chosen = only is None or trial.id in only
        if left and chosen and not stopped and not finetuned:
            waiting.append(_to_score(trial, left, outcome))
    rank = {t.id: (-len(t.shards), t.shards, -costs.estimate(t).seconds, t.id) for t in waiting}
    ordered = tuple(sorted(waiting, key=lambda trial: rank[trial.id]))
    return Plan(tuple(trials), ordered, tuple(damaged))


def _is_scored(runs: RunDirectory, trial: WorkItem, roi: Roi, damaged: list[str]) -> bool:
    """Tell whether an ROI has scores that can be read; note it where they can't."""
    path = runs.score_file(trial.id, roi.id)
    if not path.exists():
        return False
    try:
        read_score_file(path)
    except ValueError:
        damaged.append(f"{path}: damaged; it is scored again")
        return False
    return True


def _to_score(work_item: WorkItem, left: Sequence[Roi], outcome: Outcome | None) -> WorkItem:
    """Return what is left to do of a trial or evaluation; a fine-tuned trial is its ROIs.

    ROIs that were added to one that had ended are scored by themselves. One that was interrupted,
    or has lost scores, is scored whole: products of matrices round by their size, so the scores of
    some ROIs alone are an undisturbed run's only to the seventh digit.
    """
    is_finetuned = isinstance(work_item, Trial) and not isinstance(work_item.objective, Untuned)
    ended = outcome.trial.rois if outcome and outcome.status == "finished" else ()
    is_added = ended and not set(left) & set(ended)
    return work_item.scoring(left) if is_added and not is_finetuned else work_item
