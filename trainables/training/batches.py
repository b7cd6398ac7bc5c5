"""The shuffled batches of an epoch, each from a single subject."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import floor
from typing import Final

import numpy as np
import torch
from torch import Tensor

from trainables.compute.device import parts_to_device
from trainables.compute.seeding import seeded_generators
from trainables.data.images import Images, split_batches
from trainables.spec import Order
from trainables.training.distributed import TrialProcessGroup
from trainables.training.single_trials import SingleTrials

PERMUTATION: Final = 0x5045524D
"""Part of the seed of permuted responses, so that nothing else is drawn from the same."""


@dataclass(frozen=True)
class TrainingData:
    """The data that a backbone is fine-tuned on: images, and an ROI's responses to them.

    responses: (n_images, n_vertices) float32 on the device. rows: (n_train,) indices of the
    training images, in the split's order. trials: those to train on, of which responses are the
    means; None: training is on responses.
    """

    images: Images
    responses: Tensor
    rows: Tensor
    trials: SingleTrials | None = None

    def responses_of(self, parts: Sequence[Tensor], epoch: int) -> Iterator[Tensor]:
        """Yield what an epoch, counted from 1, trains each part's images on: (n, n_vertices)."""
        responses = self.responses
        if self.trials is not None:
            responses, trials = self.trials.responses, self.trials
            parts = [trials.of_epoch(part, epoch) for part in parts]
        for part in parts_to_device(parts, responses.device):
            yield responses[part]

    def permuted(self, seed: int, held_back: float) -> "TrainingData":
        """Give each image that is trained on the responses to another of them, drawn from seed.

        held_back: share of the training images that are not trained on; they keep their responses.
        """
        rows, _ = self.held_back(held_back)
        order = np.random.default_rng([seed, PERMUTATION]).permutation(len(rows))
        others = rows[torch.from_numpy(order)]
        device = self.responses.device
        responses = self.responses.clone()
        responses[rows.to(device)] = self.responses[others.to(device)]
        trials = None if self.trials is None else self.trials.exchanged(rows, others)
        return replace(self, responses=responses, trials=trials)

    def held_back(self, share: float) -> tuple[Tensor, Tensor]:
        """Split rows into those to train on and a held-out share at the end."""
        n_held = floor(share * len(self.rows))
        cut = len(self.rows) - n_held
        if cut < 2:
            raise ValueError(f"{cut} training images left of {len(self.rows)}; expected at least 2")
        return self.rows[:cut], self.rows[cut:]


@dataclass(frozen=True)
class Step:
    """One batch: the number of a subject, and rows of its images."""

    subject: int
    rows: Tensor


@contextmanager
def seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Seed shuffling and dropout by trial and epoch, so that a resumed training draws the same."""
    with seeded_generators(1_000_003 * seed + epoch, device):
        yield


def epoch_steps(rows: Sequence[Tensor], batch_size: int, order: Order) -> list[Step]:
    """Shuffle every subject's rows and split them into batches, with torch's generator.

    rows: the training rows of each subject. ``sequential``: subject after subject.
    ``interleaved``: the same batches in a random order, so that at any point of the epoch the
    next batch is a subject's with a probability equal to its share of the remaining batches.
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
    """One process's share of a batch, in memory."""

    subject: int
    images: Tensor
    """(n_own, 3, size, size) uint8."""
    responses: Tensor
    """(n_own, n_vertices) float32."""
    n_images: int
    """Images of the whole batch, over all processes."""


def read_batches(
    subjects: Sequence[TrainingData],
    steps: Sequence[Step],
    process_group: TrialProcessGroup,
    epoch: int,
) -> Iterator[Batch]:
    """Read the batches of an epoch's steps: of each, the rows of this process."""
    own = [step.rows[process_group.share(len(step.rows))] for step in steps]
    parts = [
        [rows for step, rows in zip(steps, own, strict=True) if step.subject == number]
        for number in range(len(subjects))
    ]
    images = [one.images.parts(rows) for one, rows in zip(subjects, parts, strict=True)]
    responses = [one.responses_of(rows, epoch) for one, rows in zip(subjects, parts, strict=True)]
    for step in steps:
        number = step.subject
        yield Batch(number, next(images[number]), next(responses[number]), len(step.rows))
