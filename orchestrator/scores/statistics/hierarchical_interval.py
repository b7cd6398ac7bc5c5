"""The interval of a difference between methods, over subjects, seeds and test images.

Vertices are kept together: they share the errors of their images and of their fine-tuning, and are
no sample. The variance of a row is put together level by level, each with the t quantile of its
degrees of freedom: with 3 to 8 subjects, or 2 to 5 seeds, percentiles of resampled subjects
and seeds are too narrow, and so is t with joint degrees of freedom (Satterthwaite, 1946).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from orchestrator.scores.statistics.roi_differences import (
    RoiDifference,
    SeedEffect,
    add_effects,
    sum_images,
)

FEWEST_SUBJECTS: Final = 3
"""Fewer are taken as they are: the interval is then for these subjects."""
LEVEL: Final = 0.95

Weighted = Sequence[tuple[RoiDifference, float]]


@dataclass(frozen=True)
class Uncertainty:
    """Half the width of a 95 % interval, and what it covers besides the test images."""

    half_width: float
    covers_subjects: bool
    covers_seeds: bool | None
    """None: no method is fine-tuned, so that there are no other seeds."""
    standard_error: float | None = None
    """Root of the variance over the same levels; None where only the interval is known."""

    @property
    def levels(self) -> tuple[str, ...]:
        """Name what the interval is over."""
        names = {"subjects": self.covers_subjects, "seeds": self.covers_seeds, "images": True}
        return tuple(name for name, is_covered in names.items() if is_covered)


@dataclass(frozen=True)
class Part:
    """A part of a variance, and its degrees of freedom."""

    variance: float
    freedom: int


def mean_uncertainty(rois: Sequence[RoiDifference], weights: Sequence[float]) -> Uncertainty:
    """Return the uncertainty of the weighted mean of the differences in ROIs.

    weights: of each ROI; those of a subject add up to 1/n of n subjects. With FEWEST_SUBJECTS or
    more, the interval is for the mean over the subjects of a population; with fewer, for these.
    """
    weighted = list(zip(rois, map(float, weights), strict=True))
    subjects = dict.fromkeys(one.subject for one in rois)
    by_subject = [[pair for pair in weighted if pair[0].subject == one] for one in subjects]
    covers_subjects = len(subjects) >= FEWEST_SUBJECTS
    parts = _over_subjects(by_subject) if covers_subjects else _of_these_subjects(weighted)
    # Seeds that differ from subject to subject are covered with the subjects, even one of each.
    covers_seeds = not any(
        one.has_one_seed and (one.shares_training or not covers_subjects) for one in rois
    )
    return uncertainty_of(
        parts,
        covers_subjects=covers_subjects,
        covers_seeds=covers_seeds if any(one.has_seeds for one in rois) else None,
    )


def uncertainty_of(
    parts: Iterable[Part], *, covers_subjects: bool, covers_seeds: bool | None
) -> Uncertainty:
    """Add up the squares of the half widths that the parts of a variance would have alone."""
    from scipy.special import stdtrit  # 0.2 s, which most commands don't need

    known = [part for part in parts if part.variance > 0]
    squares = [part.variance * stdtrit(part.freedom, (1 + LEVEL) / 2) ** 2 for part in known]
    return Uncertainty(
        half_width=float(np.sqrt(sum(squares))),
        covers_subjects=covers_subjects,
        covers_seeds=covers_seeds,
        standard_error=float(np.sqrt(sum(part.variance for part in known))),
    )


def _of_these_subjects(weighted: Weighted) -> list[Part]:
    """Return the variance over images and over seeds, for the subjects as they are.

    Seeds differ also in the effects of the images. That part is in the variance over seeds
    already, and is taken out of the variance over images.
    """
    images = sum_images((one.images, weight) for one, weight in weighted)
    by_seed = _seed_effects(weighted)
    freedom, k = len(images.number) - 1, len(by_seed)
    if k < 2:
        return [Part(images.variance, freedom)]
    over_seeds = sum(one.difference**2 for one in by_seed) * k / (k - 1)
    of_both = sum(one.images.variance for one in by_seed) * k / (k - 1)
    return [Part(max(images.variance - of_both, 0.0), freedom), Part(over_seeds, k - 1)]


def _over_subjects(by_subject: Sequence[Weighted]) -> list[Part]:
    """Return the variance over subjects, and over what they have in common.

    The variance between subjects holds all that varies independently between them, seeds and
    images too. What they share (an image that several see, the training of a pooled model) does not
    show in it, and is added.
    """
    n = len(by_subject)
    means = [n * sum(weight * one.difference for one, weight in part) for part in by_subject]
    return [
        Part(float(np.var(means, ddof=1)) / n, n - 1),
        shared_images(by_subject),
        shared_seeds(by_subject),
    ]


def shared_images(by_subject: Sequence[Weighted]) -> Part:
    """Return the variance over images that subjects share, which does not show between them."""
    n = len(by_subject)
    own = [sum_images((one.images, weight) for one, weight in part) for part in by_subject]
    together = sum_images((one, 1.0) for one in own)
    shared = (together.variance - sum(one.variance for one in own)) * n / (n - 1)
    return Part(shared, len(together.number) - 1)


def shared_seeds(by_subject: Sequence[Weighted]) -> Part:
    """Return the variance over the seeds of trainings that subjects share."""
    pooled = [[pair for pair in part if pair[0].shares_training] for part in by_subject]
    together = _seed_effects([pair for part in pooled for pair in part])
    n, k = len(by_subject), len(together)
    if k < 2:
        return Part(0.0, 1)
    own = sum(one.difference**2 for part in pooled for one in _seed_effects(part))
    total = sum(one.difference**2 for one in together)
    return Part((total - own) * k / (k - 1) * n / (n - 1), k - 1)


def _seed_effects(weighted: Weighted) -> list[SeedEffect]:
    """Add up the effects of each seed over ROIs: the same seed may act alike in all of them."""
    seeds = dict.fromkeys(seed for one, _ in weighted for seed in one.seeds)
    return [
        add_effects((one.seeds[seed], weight) for one, weight in weighted if seed in one.seeds)
        for seed in seeds
    ]
