"""Which images train and which test: decided once, at ingest, and stored as a column.

``stimulus`` (the default) gives an image the same side for every subject who saw it, so that a
model that was fitted to other subjects was not fitted to this subject's test images either.
``paper`` is the published permutation, which is per subject and does not promise that.
In both, ``order`` counts a subject's images from 0 with all training images first.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.ingest.settings import SplitName
from trainables.data.shards import TEST, TRAIN, split_digest

TEST_SHARE: Final = 0.15
MIN_TRAIN: Final = 2


@dataclass(frozen=True)
class Split:
    """The side of each of a subject's images, and its position in the split's order."""

    name: SplitName
    sides: tuple[str, ...]
    """``train`` or ``test``, one per image."""
    orders: tuple[int, ...]
    """A permutation of 0 … n - 1, training images first."""
    digest: str
    """Eight hex digits of the stimuli, their sides and their orders."""

    @property
    def n_train(self) -> int:
        """Count the training images."""
        return self.sides.count(TRAIN)

    @property
    def n_test(self) -> int:
        """Count the test images."""
        return self.sides.count(TEST)


def split_images(name: SplitName, stimuli: Sequence[str]) -> Split:
    """Decide the side and the order of each image, given the stimulus ids in row order.

    Raises InputError when it leaves no test image or fewer than two training images.
    """
    n_train, ranked = _RANKINGS[name](stimuli)
    if n_train < MIN_TRAIN or n_train == len(stimuli):
        raise InputError(
            f"split {name!r} of {len(stimuli)} images leaves {n_train} to train and "
            f"{len(stimuli) - n_train} to test; expected at least {MIN_TRAIN} and 1: "
            "use more images, or the other --split"
        )
    orders = [0] * len(stimuli)
    for order, row in enumerate(ranked):
        orders[row] = order
    sides = tuple(TRAIN if order < n_train else TEST for order in orders)
    return Split(name, sides, tuple(orders), split_digest(name, stimuli, sides, orders))


def stimulus_fraction(stimulus: str) -> float:
    """Place a stimulus id in [0, 1) by its SHA-256, the same for every subject and machine.

    >>> stimulus_fraction("nsd-00013") == stimulus_fraction("nsd-00013") < 1
    True
    """
    # 53 bits: all that a float holds, so that the largest hash does not round up to 1.
    return (int.from_bytes(hashlib.sha256(stimulus.encode()).digest()[:8]) >> 11) / 2**53


def _rank_by_permutation(stimuli: Sequence[str]) -> tuple[int, list[int]]:
    """Rank rows as the paper does: a seeded permutation, whose first ⌊0.85 N⌋ train."""
    import torch  # seconds to import, and only this split needs it

    generator = torch.Generator().manual_seed(0)
    permutation: list[int] = torch.randperm(len(stimuli), generator=generator).tolist()
    return len(stimuli) * 85 // 100, permutation


def _rank_by_hash(stimuli: Sequence[str]) -> tuple[int, list[int]]:
    """Rank rows by (test or not, hash, id): a hash below 0.15 tests."""
    keys = [
        (stimulus_fraction(name) < TEST_SHARE, stimulus_fraction(name), name) for name in stimuli
    ]
    n_test = sum(key[0] for key in keys)
    return len(stimuli) - n_test, sorted(range(len(stimuli)), key=keys.__getitem__)


_RANKINGS: Final[dict[SplitName, Callable[[Sequence[str]], tuple[int, list[int]]]]] = {
    "stimulus": _rank_by_hash,
    "paper": _rank_by_permutation,
}
