"""One epoch of a training: its steps, the loss, and the retrieval among held-back images."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import floor
from statistics import fmean

import torch
from torch import Tensor

from trainables.data.images import Images
from trainables.models.heads import project_batch
from trainables.models.losses import Retrieval, retrieval
from trainables.models.pooled import Embedder, FinetunedModel, embedder_of
from trainables.results.epoch_report import EpochReport
from trainables.spec import Finetuned, Order, Pooled
from trainables.training.batches import Step, epoch_steps
from trainables.training.distributed import TrialProcessGroup
from trainables.training.synchronised import SharedModel


@dataclass(frozen=True)
class TrainingData:
    """What one backbone is fine-tuned on: images by row, and an ROI's response to each row.

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


@dataclass(frozen=True)
class Trainee:
    """A model under training, with each subject's data, rows to train on and held-back rows."""

    objective: Finetuned
    model: FinetunedModel
    optimizer: torch.optim.Optimizer
    subjects: tuple[TrainingData, ...]
    rows: tuple[Tensor, ...]
    held_back: tuple[Tensor, ...]

    @property
    def device(self) -> torch.device:
        """Name the device that all of it is on."""
        return self.subjects[0].responses.device

    @property
    def order(self) -> Order:
        """Say how an epoch visits the subjects."""
        return self.objective.order if isinstance(self.objective, Pooled) else "sequential"


def train_epoch(
    trainee: Trainee, shared: SharedModel, process_group: TrialProcessGroup, epoch: int
) -> EpochReport:
    """Train one epoch; a process group's workers pass their rows of each batch.

    Draws from torch's generators, which are alike on all workers. Raises FloatingPointError, on
    every worker, when the loss is not a number.
    """
    start = time.perf_counter()
    trainee.model.train()
    # Summed on the device: reading a loss a batch would make the host wait for each.
    total = torch.zeros((), dtype=torch.float64, device=trainee.device)
    with process_group.in_step():
        for step, loss in _losses(trainee, shared, process_group):
            trainee.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            shared.sum_gradients()
            trainee.optimizer.step()
            total += loss.detach().double() * len(step.rows)
    n_images = sum(map(len, trainee.rows))
    mean_loss = float(total) / n_images
    if mean_loss != mean_loss:
        raise FloatingPointError(f"the loss is not a number in epoch {epoch}; lower learning_rate")
    seconds = time.perf_counter() - start
    return EpochReport(epoch, mean_loss, seconds, n_images / seconds)


def _losses(
    trainee: Trainee, shared: SharedModel, process_group: TrialProcessGroup
) -> Iterator[tuple[Step, Tensor]]:
    """Yield each step of an epoch with the loss of its whole batch."""
    steps = epoch_steps(trainee.rows, trainee.objective.batch_size, trainee.order)
    own = [step.rows[process_group.share(len(step.rows))] for step in steps]
    streams = [
        data.images.parts(_of_subject(k, steps, own)) for k, data in enumerate(trainee.subjects)
    ]
    for step, rows in zip(steps, own, strict=True):
        images = next(streams[step.subject])
        responses = trainee.subjects[step.subject].responses[rows.to(trainee.device)]
        embedder = embedder_of(trainee.model, step.subject)
        yield step, shared.loss(embedder, images, responses, len(step.rows))


def _of_subject(subject: int, steps: Sequence[Step], rows: Sequence[Tensor]) -> list[Tensor]:
    return [part for step, part in zip(steps, rows, strict=True) if step.subject == subject]


@torch.no_grad()
def with_retrieval(report: EpochReport, trainee: Trainee) -> EpochReport:
    """Add the retrieval among held-back images, measured without dropout and as one batch.

    Of several subjects: within each one's images, and averaged over the subjects.
    """
    trainee.model.eval()
    found = [
        _retrieval(embedder_of(trainee.model, k), data, rows)
        for k, (data, rows) in enumerate(zip(trainee.subjects, trainee.held_back, strict=True))
        if len(rows) >= 2
    ]
    if not found:
        return report
    return replace(
        report,
        retrieval_top1=fmean(one.top1 for one in found),
        retrieval_median_rank=fmean(one.median_rank for one in found),
    )


def _retrieval(embedder: Embedder, data: TrainingData, rows: Tensor) -> Retrieval:
    images = torch.cat([embedder.read_images(x) for x in data.images.batches(rows, 256)])
    responses = embedder.read_responses(data.responses[rows.to(data.responses.device)])
    embedded = [project_batch(embedder.head, side) for side in (images, responses)]
    return retrieval(*embedded)
