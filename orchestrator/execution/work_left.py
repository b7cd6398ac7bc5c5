"""The seconds of a plan's waiting trials, with each fine-tuning counted once."""

from collections.abc import Sequence

from orchestrator.execution.cost import Costs
from orchestrator.execution.unkept_weights import users_of_trainings
from trainables.results.run_directory import RunDirectory
from trainables.spec.evaluation import WorkItem
from trainables.storage.threads import map_reads
from trainables.training.checkpoint_notes import is_complete


def seconds_of(waiting: Sequence[WorkItem], costs: Costs, runs: RunDirectory) -> dict[str, float]:
    """Estimate the seconds of each waiting trial or evaluation on one worker, by id, in order.

    The first of several trials that share a training has it; none has one that is complete.
    """
    users = users_of_trainings(waiting)
    names = list(users)
    complete = map_reads(lambda name: is_complete(runs.checkpoints(name)), names)
    makers = {
        users[name][0].id for name, is_there in zip(names, complete, strict=True) if not is_there
    }
    estimates = {one.id: costs.estimate(one) for one in waiting}
    return {
        key: one.seconds if key in makers else one.seconds - one.training
        for key, one in estimates.items()
    }
