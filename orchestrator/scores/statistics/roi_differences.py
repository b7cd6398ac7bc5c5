"""The difference between two methods in an ROI, and what its seeds and test images add to it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

Values = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Images:
    """Effects of test images on a number; the sum of squares is its variance over images."""

    number: Integers
    """(n_images,) ascending; an image has the same number for every subject that saw it."""
    effect: Values
    """(n_images,)."""

    @classmethod
    def of_rows(cls, number: Integers, effect: Values) -> Self:
        """Add up the effects of rows that show the same image. number, effect: (n_rows,)."""
        numbers, place = np.unique(number, return_inverse=True)
        total = np.zeros(len(numbers))
        np.add.at(total, place, effect)
        return cls(numbers, total)

    @property
    def variance(self) -> float:
        """The variance over images."""
        return float(self.effect @ self.effect)


def sum_images(weighted: Iterable[tuple[Images, float]]) -> Images:
    """Add up weighted effects, image by image."""
    several = list(weighted)
    first = several[0][0].number
    if all(one.number is first or np.array_equal(one.number, first) for one, _ in several):
        return Images(first, np.sum([weight * one.effect for one, weight in several], axis=0))
    numbers = np.unique(np.concatenate([one.number for one, _ in several]))
    total = np.zeros(len(numbers))
    for one, weight in several:
        total[np.searchsorted(numbers, one.number)] += weight * one.effect
    return Images(numbers, total)


@dataclass(frozen=True)
class TrialScore:
    """The mean r of one trial in an ROI, or its median share, over the vertices compared."""

    seed: str | None
    """The seed of its fine-tuning; None if untuned."""
    r: float
    images: Images


@dataclass(frozen=True)
class SeedEffect:
    """What one seed adds to a difference, and to the effects of the images on it."""

    difference: float
    images: Images


@dataclass(frozen=True)
class RoiDifference:
    """The difference between two methods in an ROI of a subject, averaged over their seeds."""

    subject: tuple[str, str]
    """As (dataset, subject)."""
    difference: float
    images: Images
    seeds: Mapping[str, SeedEffect]
    """By seed; empty where no method has several. They add up to 0."""
    has_seeds: bool
    """Whether a method is fine-tuned, so that other seeds give other scores."""
    has_one_seed: bool
    """Whether a method that is fine-tuned has one seed only."""
    shares_training: bool
    """Whether a backbone is fine-tuned on several subjects, which have its seed in common."""


def subtract(
    subject: tuple[str, str],
    a: Sequence[TrialScore],
    b: Sequence[TrialScore],
    *,
    shares_training: bool = False,
) -> RoiDifference:
    """Subtract the mean of b's trials from that of a's; a method's trials differ in their seeds.

    Without any of b, the result is the mean of a's.
    """
    signed = [(side, sign / len(side)) for side, sign in ((a, 1), (b, -1)) if side]
    mean = sum_images((one.images, share) for side, share in signed for one in side)
    seeds: dict[str, list[SeedEffect]] = {}
    for side, share in signed:
        for one in side if len(side) > 1 else ():
            seeds.setdefault(str(one.seed), []).append(_deviation(one, side, share))
    tuned = [side for side, _ in signed if side[0].seed is not None]
    return RoiDifference(
        subject=subject,
        difference=sum(share * one.r for side, share in signed for one in side),
        images=mean,
        seeds={seed: add_effects((one, 1.0) for one in found) for seed, found in seeds.items()},
        has_seeds=bool(tuned),
        has_one_seed=any(len(side) == 1 for side in tuned),
        shares_training=shares_training,
    )


def _deviation(one: TrialScore, side: Sequence[TrialScore], share: float) -> SeedEffect:
    """Return how a trial differs from the mean of its side, by its share of the difference."""
    weights = [share * ((other is one) - 1 / len(side)) for other in side]
    return SeedEffect(
        sum(weight * other.r for weight, other in zip(weights, side, strict=True)),
        sum_images((other.images, w) for w, other in zip(weights, side, strict=True)),
    )


def add_effects(weighted: Iterable[tuple[SeedEffect, float]]) -> SeedEffect:
    """Add up weighted effects of one seed."""
    several = list(weighted)
    return SeedEffect(
        sum(weight * one.difference for one, weight in several),
        sum_images((one.images, weight) for one, weight in several),
    )


def average(several: Sequence[RoiDifference]) -> RoiDifference:
    """Average the differences of several models in one ROI, each with seeds of its own."""
    share = 1 / len(several)
    seeds = dict.fromkeys(seed for one in several for seed in one.seeds)
    return RoiDifference(
        subject=several[0].subject,
        difference=share * sum(one.difference for one in several),
        images=sum_images((one.images, share) for one in several),
        seeds={
            seed: add_effects((one.seeds[seed], share) for one in several if seed in one.seeds)
            for seed in seeds
        },
        has_seeds=any(one.has_seeds for one in several),
        has_one_seed=any(one.has_one_seed for one in several),
        shares_training=any(one.shares_training for one in several),
    )
