"""Which images each step of an epoch trains on: shuffled, and of one subject a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.data.images import split_batches
from trainables.spec import Order


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
