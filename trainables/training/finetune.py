"""Fine-tune a backbone on one ROI, or on several subjects' ROIs: resume, train, report, save."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from trainables.models.heads import build_model
from trainables.models.pooled import FinetunedModel, build_pooled
from trainables.results.epoch_report import EpochReport
from trainables.spec import Finetuned, FinetunedOnRoi, Pooled
from trainables.training.checkpoints import Checkpoints, restore_optimizer
from trainables.training.distributed import SINGLE_PROCESS, TrialProcessGroup
from trainables.training.epoch import Trainee, TrainingData, train_epoch, with_retrieval
from trainables.training.synchronised import WHOLE_BATCHES, ForwardConfig, SharedModel

History = tuple[EpochReport, ...]
Report = Callable[[EpochReport], bool]
"""Takes an epoch's report; returns False when the training should stop."""


class Stopped(Exception):  # noqa: N818  (an outcome, not an error)
    """The scheduler has stopped this training; its checkpoint stays."""

    def __init__(self, history: History = ()) -> None:
        super().__init__("stopped by the scheduler")
        self.history = history


def finetune(
    objective: FinetunedOnRoi,
    seed: int,
    backbone: nn.Module,
    data: TrainingData,
    checkpoints: Checkpoints,
    report: Report,
    *,
    process_group: TrialProcessGroup = SINGLE_PROCESS,
    forward_config: ForwardConfig = WHOLE_BATCHES,
) -> History:
    """Tune a backbone in place, from its last checkpoint if there is one; return all reports.

    The backbone is on the device of the responses. Every worker of a process group calls this
    alike; the first one reports and saves for all. forward_config: how images pass the backbone.
    Raises Stopped when report returns False.
    """
    size, n_vertices = data.images.image_size, data.responses.shape[1]
    settings = _FinetuneSettings(
        objective, seed, (data,), checkpoints, report, process_group, forward_config
    )
    return _finetune(settings, lambda: build_model(objective, backbone, size, n_vertices, seed))


def finetune_pooled(
    objective: Pooled,
    seed: int,
    backbone: nn.Module,
    data: Sequence[TrainingData],
    checkpoints: Checkpoints,
    report: Report,
    *,
    process_group: TrialProcessGroup = SINGLE_PROCESS,
    forward_config: ForwardConfig = WHOLE_BATCHES,
) -> History:
    """Tune a backbone in place on several subjects, as :func:`finetune` does on one ROI.

    data: of each subject, in the order in which a sequential epoch visits them.
    """
    size, n_vertices = data[0].images.image_size, [one.responses.shape[1] for one in data]
    settings = _FinetuneSettings(
        objective, seed, tuple(data), checkpoints, report, process_group, forward_config
    )
    return _finetune(settings, lambda: build_pooled(objective, backbone, size, n_vertices, seed))


@dataclass(frozen=True)
class _FinetuneSettings:
    """One training as it was asked for: settings, data, and who works at it."""

    objective: Finetuned
    seed: int
    subjects: tuple[TrainingData, ...]
    checkpoints: Checkpoints
    report: Report
    process_group: TrialProcessGroup
    forward_config: ForwardConfig


@dataclass(frozen=True)
class _Start:
    """A training as its last checkpoint left it, or as it begins."""

    trainee: Trainee
    history: History
    is_complete: bool


def _start(settings: _FinetuneSettings, build: Callable[[], FinetunedModel]) -> _Start:
    """Build model and optimiser, as the last checkpoint left them if there is one."""
    objective, device = settings.objective, settings.subjects[0].responses.device
    model = build().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=objective.learning_rate, fused=True)
    parts = [data.held_back(objective.validation) for data in settings.subjects]
    rows, held_back = zip(*parts, strict=True)
    trainee = Trainee(objective, model, optimizer, settings.subjects, rows, held_back)
    resumed = settings.checkpoints.load(device)
    if resumed is None:
        return _Start(trainee, (), is_complete=False)
    model.load_state_dict(resumed.model)
    complete = resumed.optimizer is None and resumed.history[-1].epoch >= objective.epochs
    if not complete:
        restore_optimizer(optimizer, resumed.optimizer or {})
    return _Start(trainee, resumed.history, complete)


def _finetune(settings: _FinetuneSettings, build: Callable[[], FinetunedModel]) -> History:
    process_group, n_epochs = settings.process_group, settings.objective.epochs
    start = process_group.together(lambda: _start(settings, build))
    trainee, history = start.trainee, start.history
    process_group.check_same(
        (len(history), start.is_complete), "epochs of the checkpoint, complete"
    )
    if start.is_complete:
        return history
    shared = SharedModel(process_group, trainee.model, settings.forward_config)
    with shared.synchronised():
        for epoch in range(len(history) + 1, n_epochs + 1):
            with _seeded(settings.seed, epoch, trainee.device):
                done = train_epoch(trainee, shared, process_group, epoch)
            history, stopping = process_group.decide(
                partial(_conclude, settings, trainee, (*history, done))
            )
            if stopping:
                raise Stopped(history)
    process_group.decide(partial(settings.checkpoints.finish, history))
    return history


def _conclude(
    settings: _FinetuneSettings, trainee: Trainee, history: History
) -> tuple[History, bool]:
    """Measure retrieval, report and save; return the history, and whether to stop."""
    history = (*history[:-1], with_retrieval(history[-1], trainee))
    last = history[-1].epoch == settings.objective.epochs
    stopping = not settings.report(history[-1]) and not last
    settings.checkpoints.after_epoch(
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
