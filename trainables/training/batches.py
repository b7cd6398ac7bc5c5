"""The batches of an epoch: shuffled, and each of one subject."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor

import torch
from torch import Tensor

from trainables.data.images import Images, split_batches
from trainables.spec import Order
from trainables.training.distributed import TrialProcessGroup


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
class Step:
    """One batch: a subject by number, and rows of its images."""

    subject: int
    rows: Tensor


def epoch_steps(rows: Sequence[Tensor], batch_size: int, order: Order) -> list[Step]:
    """Shuffle every subject's rows and cut them into batches; draws from torch's generator.

    rows: the training rows of each subject. ``sequential``: subject after subject.
    ``interleaved``: the same batches in a random order, so that at any point of the epoch a
    subject's turn is as likely as its share of the batches that are left.
    """
    steps = [
        Step(subject, part)
        for subject, own in enumerate(rows)
        for part in split_batches(own[torch.randperm(len(own))], batch_size)
    ]
    if order == "sequential":
        return steps
    return [steps[number] for number in torch.randperm(len(steps)).tolist()]


@dataclass(frozen=True)
class Batch:
    """The share that one process has of a batch, in memory."""

    subject: int
    images: Tensor
    """(n_own, 3, size, size) uint8."""
    responses: Tensor
    """(n_own, n_vertices) float32."""
    n_images: int
    """Images of the whole batch, over all processes."""


def read_batches(
    subjects: Sequence[TrainingData], steps: Sequence[Step], process_group: TrialProcessGroup
) -> Iterator[Batch]:
    """Read the batches of an epoch's steps, of each the rows of this process."""
    own = [step.rows[process_group.share(len(step.rows))] for step in steps]
    streams = [
        data.images.parts([r for s, r in zip(steps, own, strict=True) if s.subject == number])
        for number, data in enumerate(subjects)
    ]
    for step, rows in zip(steps, own, strict=True):
        responses = subjects[step.subject].responses
        yield Batch(
            step.subject,
            next(streams[step.subject]),
            responses[rows.to(responses.device)],
            len(step.rows),
        )
