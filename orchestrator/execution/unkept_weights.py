"""Which weights ``--keep none`` removes: those of trainings that a command makes, and no others."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from orchestrator.execution.plan import Plan
from orchestrator.execution.settings import RunSettings
from trainables.results.outcome import read_ended
from trainables.results.run_directory import RunDirectory
from trainables.spec import Trial, Untuned
from trainables.spec.evaluation import WorkItem
from trainables.storage.threads import map_reads
from trainables.training.checkpoint_notes import is_complete


@contextmanager
def removing_unkept(settings: RunSettings, plan: Plan) -> Iterator[RunSettings]:
    """Yield the settings with the trainings whose weights are removed once their trial has ended.

    Weights that are complete before the block are never removed: others may need them. Those that
    several waiting trials share are removed after the block, if all of these trials have ended.
    """
    if settings.options.keep != "none":
        yield settings
        return
    users = users_of_trainings(plan.waiting)
    names, runs = sorted(users), settings.runs
    complete = map_reads(lambda name: is_complete(runs.checkpoints(name)), names)
    made = [name for name, is_there in zip(names, complete, strict=True) if not is_there]
    removable = frozenset(name for name in made if len(users[name]) == 1)
    try:
        yield replace(settings, options=replace(settings.options, removable=removable))
    finally:
        for name in made:
            if name not in removable and _have_ended(users[name], runs):
                runs.checkpoints(name).remove()


def users_of_trainings(waiting: Sequence[WorkItem]) -> Mapping[str, Sequence[Trial]]:
    """List the trials that fine-tune, or continue from, each training, by its id."""
    users: dict[str, list[Trial]] = {}
    for one in waiting:
        if isinstance(one, Trial) and not isinstance(one.objective, Untuned):
            users.setdefault(one.training_id, []).append(one)
    return users


def _have_ended(trials: Sequence[Trial], runs: RunDirectory) -> bool:
    return all(read_ended(runs, trial) is not None for trial in trials)
