"""Estimate the disk space that a plan's files take in the directory of its results."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from orchestrator.cli.text import n_bytes
from orchestrator.execution.cost import GIB, Costs, head_weights
from orchestrator.execution.plan import Plan
from orchestrator.execution.unkept_weights import users_of_trainings
from trainables.encoding.split_sizes import REFITTED
from trainables.models.backbone_facts import size_of
from trainables.results.run_directory import RunDirectory
from trainables.spec import Trial, Untuned
from trainables.spec.evaluation import WorkItem
from trainables.storage.disk_space import free_bytes
from trainables.training.checkpoint_notes import Keep

WEIGHT: Final = 4
"""Bytes of a weight."""
PREDICTION: Final = 2
"""Bytes of the prediction of a vertex for an image."""
SHOWN: Final = GIB // 20
"""Bytes that are rounded to nothing."""
ADAM: Final = 2
"""Numbers of the optimiser's state per weight."""


@dataclass(frozen=True)
class DiskNeed:
    """Bytes of a plan's largest files; scores and logs are small beside them."""

    last: int
    """The weights of every training's last epoch."""
    kept: int
    """The weights that are kept, with ``none`` until the last of the trials that share them."""
    unfinished: int
    """The checkpoint of the largest training while it runs: weights twice, optimiser's state."""
    predictions: int
    n_trainings: int

    @classmethod
    def of(cls, plan: Plan, costs: Costs, keep: Keep, *, keep_predictions: bool) -> Self:
        """Estimate what the waiting trials and evaluations of a plan will write."""
        users = users_of_trainings(plan.waiting)
        sizes = {name: _weight_bytes(trials[0], costs) for name, trials in users.items()}
        kept = sum(sizes[name] * _copies(trials, keep) for name, trials in users.items())
        largest = max(sizes.values(), default=0)
        predictions = _prediction_bytes(plan.waiting, costs) if keep_predictions else 0
        return cls(sum(sizes.values()), kept, (2 + ADAM) * largest, predictions, len(users))

    def describe(self, runs: RunDirectory, keep: Keep, n_at_once: int) -> list[str]:
        """Describe the space in lines: what is needed, and the cure if less is free."""
        n_unfinished = min(n_at_once, self.n_trainings)
        needed = self.kept + self.predictions + n_unfinished * self.unfinished
        until = ", until all trials that share them have ended" if keep == "none" else ""
        named = {f"weights (--keep {keep}{until})": self.kept, "predictions": self.predictions}
        parts = [f"{n_bytes(size)} of {what}" for what, size in named.items() if size >= SHOWN]
        if not parts:
            return []
        free = None if runs.is_in_s3 else free_bytes(runs.path)
        where = str(runs) if free is None else f"{runs}, where {n_bytes(free)} are free"
        lines = [f"disk: about {' and '.join(parts)} in {where}"]
        if free is not None and needed > free:
            lines.append(
                f"the disk is too small: {n_bytes(needed)} are needed while the last trials run"
                f"{self._cure(keep)}"
            )
        return lines

    def _cure(self, keep: Keep) -> str:
        cures = []
        if self.last < self.kept:
            cures.append(f"--keep last keeps {n_bytes(self.last)} of weights")
        if keep != "none" and self.last:
            cures.append("--keep none keeps no weights, only scores")
        if self.predictions:
            cures.append("--no-predictions keeps no predictions")
        return "".join(f"; {cure}" for cure in cures)


def _copies(users: Sequence[Trial], keep: Keep) -> int:
    """Count the epochs of a training whose weights are kept for its trials, at most."""
    objective, is_shared = users[0].objective, len(users) > 1
    assert not isinstance(objective, Untuned)
    measured = objective.validation > 0  # else no epoch is known to be better than the last
    copies = {"none": int(is_shared), "last": 1, "best": 1 + measured, "every": objective.epochs}
    return min(objective.epochs, copies[keep])


def _weight_bytes(trial: Trial, costs: Costs) -> int:
    """Count the bytes of the weights of a trial's backbone and head."""
    image_size = trial.backbone.seen_size_in(costs.manifests[trial.shards[0]].image_size)
    backbone = size_of(trial.backbone, image_size).parameter_bytes
    return backbone + WEIGHT * head_weights(trial)


def _prediction_bytes(waiting: Iterable[WorkItem], costs: Costs) -> int:
    total = 0
    for one in waiting:
        if one.encoding is None:
            continue
        n_protocols = len(set(REFITTED) & set(one.encoding.protocols))
        for roi in one.rois:
            n_test = costs.manifests[roi.shard].n_test
            total += PREDICTION * n_protocols * n_test * roi.n_vertices
    return total
