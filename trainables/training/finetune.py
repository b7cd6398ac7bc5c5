"""Fine-tune a trunk on one cell, or on several subjects' cells: resume, train, report, save."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from trainables.models.heads import build_model
from trainables.models.pooled import TunedModel, build_pooled
from trainables.results.epoch_report import EpochReport
from trainables.spec import Pooled, Tuned, TunedOnCell
from trainables.training.checkpoints import Checkpoints, restore_optimizer
from trainables.training.distributed import ALONE, Team
from trainables.training.epoch import Trainee, TrainingData, train_epoch, with_retrieval
from trainables.training.synchronised import WHOLE, Passing, SharedModel

History = tuple[EpochReport, ...]
Report = Callable[[EpochReport], bool]
"""Takes an epoch's report; returns False when the training should stop."""


class Stopped(Exception):  # noqa: N818  (an outcome, not an error)
    """The scheduler has stopped this training; its checkpoint stays."""

    def __init__(self, history: History = ()) -> None:
        super().__init__("stopped by the scheduler")
        self.history = history


def finetune(
    objective: TunedOnCell,
    seed: int,
    trunk: nn.Module,
    data: TrainingData,
    checkpoints: Checkpoints,
    report: Report,
    *,
    team: Team = ALONE,
    passing: Passing = WHOLE,
) -> History:
    """Tune a trunk in place, from its last checkpoint if there is one; return all reports.

    The trunk is on the device of the responses. Every worker of a team calls this alike; the
    first one reports and saves for all. passing: how images pass the trunk. Raises Stopped when
    report returns False.
    """
    size, n_vertices = data.images.image_size, data.responses.shape[1]
    tuning = _Tuning(objective, seed, (data,), checkpoints, report, team, passing)
    return _tune(tuning, lambda: build_model(objective, trunk, size, n_vertices, seed))


def finetune_pooled(
    objective: Pooled,
    seed: int,
    trunk: nn.Module,
    data: Sequence[TrainingData],
    checkpoints: Checkpoints,
    report: Report,
    *,
    team: Team = ALONE,
    passing: Passing = WHOLE,
) -> History:
    """Tune a trunk in place on several subjects, as :func:`finetune` does on one cell.

    data: of each subject, in the order in which a sequential epoch visits them.
    """
    size, n_vertices = data[0].images.image_size, [one.responses.shape[1] for one in data]
    tuning = _Tuning(objective, seed, tuple(data), checkpoints, report, team, passing)
    return _tune(tuning, lambda: build_pooled(objective, trunk, size, n_vertices, seed))


@dataclass(frozen=True)
class _Tuning:
    """One training as it was asked for: settings, data, and who works at it."""

    objective: Tuned
    seed: int
    subjects: tuple[TrainingData, ...]
    checkpoints: Checkpoints
    report: Report
    team: Team
    passing: Passing


@dataclass(frozen=True)
class _Start:
    """A training as its last checkpoint left it, or as it begins."""

    trainee: Trainee
    history: History
    is_complete: bool


def _start(tuning: _Tuning, build: Callable[[], TunedModel]) -> _Start:
    """Build model and optimiser, as the last checkpoint left them if there is one."""
    objective, device = tuning.objective, tuning.subjects[0].responses.device
    model = build().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=objective.learning_rate, fused=True)
    parts = [data.held_back(objective.validation) for data in tuning.subjects]
    rows, held_back = zip(*parts, strict=True)
    trainee = Trainee(objective, model, optimizer, tuning.subjects, rows, held_back)
    resumed = tuning.checkpoints.load(device)
    if resumed is None:
        return _Start(trainee, (), is_complete=False)
    model.load_state_dict(resumed.model)
    complete = resumed.optimizer is None and resumed.history[-1].epoch >= objective.epochs
    if not complete:
        restore_optimizer(optimizer, resumed.optimizer or {})
    return _Start(trainee, resumed.history, complete)


def _tune(tuning: _Tuning, build: Callable[[], TunedModel]) -> History:
    team, n_epochs = tuning.team, tuning.objective.epochs
    start = team.together(lambda: _start(tuning, build))
    trainee, history = start.trainee, start.history
    team.check_same((len(history), start.is_complete), "epochs of the checkpoint, complete")
    if start.is_complete:
        return history
    shared = SharedModel(team, trainee.model, tuning.passing)
    with shared.synchronised():
        for epoch in range(len(history) + 1, n_epochs + 1):
            with _seeded(tuning.seed, epoch, trainee.device):
                done = train_epoch(trainee, shared, team, epoch)
            history, stopping = team.decide(partial(_conclude, tuning, trainee, (*history, done)))
            if stopping:
                raise Stopped(history)
    team.decide(partial(tuning.checkpoints.finish, history))
    return history


def _conclude(tuning: _Tuning, trainee: Trainee, history: History) -> tuple[History, bool]:
    """Measure retrieval, report and save; return the history, and whether to stop."""
    history = (*history[:-1], with_retrieval(history[-1], trainee))
    last = history[-1].epoch == tuning.objective.epochs
    stopping = not tuning.report(history[-1]) and not last
    tuning.checkpoints.after_epoch(
        history, trainee.model, trainee.optimizer, final=last or stopping
    )
    return history, stopping


@contextmanager
def _seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Seed shuffling and dropout from trial and epoch, so that resuming draws the same."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(1_000_003 * seed + epoch)
        yield
