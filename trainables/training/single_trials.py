"""Single trials of the images that a backbone is trained on, of which every epoch uses one."""

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

from trainables.data.trials import Trials

TURN: Final = 0x5455524E
"""Part of the seed of the trials that the first epoch uses, so that nothing else is drawn from the
same."""


@dataclass(frozen=True)
class SingleTrials:
    """The trials of each image, which take turns: in n epochs each of an image's n is used once.

    An epoch has every image once, as with mean responses. A batch therefore holds no two trials of
    an image, which would be negatives of each other in a contrastive loss, and nor do the responses
    that the epoch remembers.
    """

    responses: Tensor
    """(n_trials, n_vertices) float32 on the device, those of an image one after another."""
    first: Tensor
    """(n_images,) number of each image's first trial."""
    count: Tensor
    """(n_images,) how many trials it has; 0 for an image that is not trained on."""
    start: Tensor
    """(n_images,) which of them the first epoch uses, counted from 0."""

    @classmethod
    def of(cls, trials: Trials, n_images: int, seed: int, device: torch.device) -> Self:
        """Arrange a subject's trials; the first epoch's are drawn from seed."""
        count = np.bincount(trials.images, minlength=n_images)
        first = np.cumsum(count) - count
        start = np.random.default_rng([seed, TURN]).integers(np.maximum(count, 1))
        responses = torch.from_numpy(trials.responses).to(device)
        return cls(responses, *map(torch.from_numpy, (first, count, start)))

    def of_epoch(self, rows: Tensor, epoch: int) -> Tensor:
        """Return the trials of images in an epoch, counted from 1: (n,) rows of the responses."""
        return self.first[rows] + (self.start[rows] + epoch - 1) % self.count[rows]

    def exchanged(self, rows: Tensor, others: Tensor) -> Self:
        """Give each image of rows, (n,), all trials of the image at its place in others, (n,)."""
        changed = {name: getattr(self, name).clone() for name in ("first", "count", "start")}
        for name, values in changed.items():
            values[rows] = getattr(self, name)[others]
        return replace(self, **changed)
