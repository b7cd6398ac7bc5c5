"""Which images train and which test: decided once, at ingest, and stored as a column.

``stimulus`` (the default) gives an image the same side for every subject who saw it, so that a
model that was fitted to other subjects was not fitted to this subject's test images either.
``paper`` is the published permutation, which is per subject and does not promise that.
A data set may also give the sides itself.
In all, ``order`` counts a subject's images from 0 with all training images first.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.cli.errors import InputError
from trainables.data.shards import TEST, TRAIN, split_digest

TEST_SHARE: Final = 0.15
MIN_TRAIN: Final = 2


@dataclass(frozen=True)
class Split:
    """The side of each of a subject's images, and its position in the split's order."""

    name: str
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


def split_images(name: str, stimuli: Sequence[str]) -> Split:
    """Decide the side and the order of each image, given the stimulus ids in row order.

    name: one of SPLITS. Raises InputError when it leaves no test image or fewer than two training
    images.
    """
    n_train, ranked = _RANKINGS[name](stimuli)
    return _ranked_split(name, stimuli, n_train, ranked)


def given_split(
    name: str,
    stimuli: Sequence[str],
    sides: Sequence[str],
    orders: Sequence[int] | None = None,
) -> Split:
    """Make a split of sides that the data set itself gives, ``train`` or ``test`` of each image.

    orders: positions in the split's order, all training images first; None: within each side by the
    hash of the stimulus id, so that a block of the order is a random sample. Raises InputError when
    it leaves no test image or fewer than two training images, and ValueError for other orders.
    """
    n_train = list(sides).count(TRAIN)
    if orders is None:
        keys = [
            (side != TRAIN, stimulus_fraction(stimulus), stimulus)
            for side, stimulus in zip(sides, stimuli, strict=True)
        ]
        ranked = sorted(range(len(stimuli)), key=keys.__getitem__)
    else:
        ranked = sorted(range(len(stimuli)), key=orders.__getitem__)
        if sorted(orders) != list(range(len(stimuli))):
            raise ValueError(f"split {name!r}: expected orders 0 to {len(stimuli) - 1}, each once")
    if any(sides[row] != TRAIN for row in ranked[:n_train]):
        raise ValueError(f"split {name!r}: expected orders with all training images first")
    return _ranked_split(name, stimuli, n_train, ranked)


def _ranked_split(name: str, stimuli: Sequence[str], n_train: int, ranked: Sequence[int]) -> Split:
    """Make a split from rows in its order, of which the first n_train train."""
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


_RANKINGS: Final[Mapping[str, Callable[[Sequence[str]], tuple[int, list[int]]]]] = {
    "stimulus": _rank_by_hash,
    "paper": _rank_by_permutation,
}
