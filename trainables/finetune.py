"""The epoch loop: fine-tune a trunk on one cell, and say after each epoch how it goes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import floor

import torch
from torch import Tensor, nn

from trainables.checkpoints import Checkpoints, EpochReport, restore_optimizer
from trainables.images import Images, split_batches
from trainables.losses import retrieval
from trainables.models import TunedModel, build_model
from trainables.spec import Tuned

Report = Callable[[EpochReport], bool]
"""Takes an epoch's report; returns False when the training should stop."""


class Stopped(Exception):  # noqa: N818  (an outcome, not an error)
    """The scheduler has stopped this training; its checkpoint stays."""

    def __init__(self, history: tuple[EpochReport, ...] = ()) -> None:
        super().__init__("stopped by the scheduler")
        self.history = history


@dataclass(frozen=True)
class TrainingData:
    """What one trunk is tuned on: images by row, and a cell's response to each row.

    responses: (n_images, n_vertices) float32 on the device. rows: the training rows, in the
    split's order.
    """

    images: Images
    responses: Tensor
    rows: Tensor

    def held_back(self, share: float) -> tuple[Tensor, Tensor]:
        """Split the rows into those to train on and the last share, held back."""
        n_held = floor(share * len(self.rows))
        cut = len(self.rows) - n_held
        if cut < 2:
            raise ValueError(f"{cut} training images left of {len(self.rows)}; at least 2 needed")
        return self.rows[:cut], self.rows[cut:]


def finetune(
    objective: Tuned,
    seed: int,
    trunk: nn.Module,
    data: TrainingData,
    checkpoints: Checkpoints,
    report: Report,
) -> tuple[EpochReport, ...]:
    """Tune a trunk in place, from its last checkpoint if there is one; return all reports.

    The trunk is on the device of the responses. Raises Stopped when report returns False.
    """
    device = data.responses.device
    model = build_model(objective, trunk, data.images.image_size, data.responses.shape[1], seed).to(
        device
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=objective.learning_rate)
    train_rows, held_back = data.held_back(objective.validation)
    history: tuple[EpochReport, ...] = ()
    if resumed := checkpoints.load(device):
        model.load_state_dict(resumed.model)
        history = resumed.history
        if resumed.optimizer is None and history[-1].epoch >= objective.epochs:
            return history
        restore_optimizer(optimizer, resumed.optimizer or {})
    for epoch in range(len(history) + 1, objective.epochs + 1):
        with _seeded(seed, epoch, device):
            done = _train_epoch(model, optimizer, data, train_rows, objective.batch_size, epoch)
        history = (*history, _with_retrieval(done, model, data, held_back))
        last = epoch == objective.epochs
        stopping = not report(history[-1]) and not last
        checkpoints.after_epoch(history, model, optimizer, final=last or stopping)
        if stopping:
            raise Stopped(history)
    checkpoints.finish(history)
    return history


@contextmanager
def _seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Seed shuffling and dropout from trial and epoch, so that resuming draws the same."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(1_000_003 * seed + epoch)
        yield


def _train_epoch(
    model: TunedModel,
    optimizer: torch.optim.Optimizer,
    data: TrainingData,
    rows: Tensor,
    batch_size: int,
    epoch: int,
) -> EpochReport:
    start = time.perf_counter()
    model.train()
    shuffled = rows[torch.randperm(len(rows))]
    # Summed on the device: reading a loss a batch would make the host wait for each.
    total = torch.zeros((), dtype=torch.float64, device=data.responses.device)
    batches = split_batches(shuffled, batch_size)
    for part, images in zip(batches, data.images.batches(shuffled, batch_size), strict=True):
        loss = model.loss(images, data.responses[part.to(data.responses.device)])
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        total += loss.detach().double() * len(part)
    mean_loss = float(total) / len(rows)
    if mean_loss != mean_loss:
        raise FloatingPointError(f"the loss is not a number in epoch {epoch}; lower learning_rate")
    seconds = time.perf_counter() - start
    return EpochReport(epoch, mean_loss, seconds, len(rows) / seconds)


@torch.no_grad()
def _with_retrieval(
    report: EpochReport, model: TunedModel, data: TrainingData, rows: Tensor
) -> EpochReport:
    """Add the retrieval among held-back images, measured without dropout."""
    if len(rows) < 2:
        return report
    model.eval()
    embedded = torch.cat([model.embed_images(x) for x in data.images.batches(rows, 256)])
    responses = data.responses[rows.to(data.responses.device)]
    found = retrieval(embedded, model.embed_responses(responses))
    return EpochReport(
        report.epoch,
        report.loss,
        report.seconds,
        report.images_per_second,
        retrieval_top1=found.top1,
        retrieval_median_rank=found.median_rank,
    )
