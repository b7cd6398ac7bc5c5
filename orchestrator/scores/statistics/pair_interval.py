"""The interval of a mean over pairs of subjects: a model of one, scored on another.

A subject is in many pairs, as the one that models were fine-tuned on and as the one that is scored,
so pairs are no sample. Subjects are left out one after another, with all their pairs (a jackknife).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestrator.scores.statistics.hierarchical_interval import (
    FEWEST_SUBJECTS,
    Part,
    Uncertainty,
    Weighted,
    mean_uncertainty,
    shared_images,
    shared_seeds,
    uncertainty_of,
)
from orchestrator.scores.statistics.roi_differences import RoiDifference

Subject = tuple[str, str]


@dataclass(frozen=True)
class PairDifference:
    """The difference of a model from a reference on a subject, averaged over ROIs."""

    finetuned_on: frozenset[Subject]
    """Each as (dataset, subject)."""
    rois: tuple[RoiDifference, ...]
    """At least one, all of the scored subject."""

    @property
    def scored(self) -> Subject:
        """The subject whose responses are predicted."""
        return self.rois[0].subject

    @property
    def difference(self) -> float:
        """The mean over ROIs."""
        return float(np.mean([one.difference for one in self.rois]))

    def involves(self, subject: Subject) -> bool:
        """Return whether a subject is scored, or the only one that the model was tuned on."""
        return self.scored == subject or self.finetuned_on == {subject}


def pairs_uncertainty(pairs: Sequence[PairDifference]) -> Uncertainty:
    """Return the uncertainty of the mean over pairs.

    With FEWEST_SUBJECTS scored subjects or more it is for others of their population, and for
    other models too where these were each fine-tuned on one of them; with fewer, for these.
    """
    subjects = list(dict.fromkeys(one.scored for one in pairs))
    left = [[one for one in pairs if not one.involves(subject)] for subject in subjects]
    if len(subjects) < FEWEST_SUBJECTS or not all(left):
        rois = [roi for one in pairs for roi in one.rois]
        return mean_uncertainty(
            rois, [1 / (len(one.rois) * len(pairs)) for one in pairs for _ in one.rois]
        )
    by_subject = [
        [pair for one in pairs if one.scored == subject for pair in _weighted(one, pairs, subjects)]
        for subject in subjects
    ]
    n = len(subjects)
    means = [np.mean([one.difference for one in part]) for part in left]
    parts = [
        Part(float(np.var(means)) * (n - 1), n - 1),
        shared_images(by_subject),
        shared_seeds(by_subject),
    ]
    rois = [roi for part in by_subject for roi, _ in part]
    covers_seeds = not any(roi.has_one_seed and roi.shares_training for roi in rois)
    return uncertainty_of(
        parts,
        covers_subjects=True,
        covers_seeds=covers_seeds if any(roi.has_seeds for roi in rois) else None,
    )


def _weighted(
    one: PairDifference, pairs: Sequence[PairDifference], subjects: Sequence[Subject]
) -> Weighted:
    """Weigh a pair's ROIs; the seed of a model varies with the subject that it was tuned on."""
    varies = len(one.finetuned_on) == 1 and one.finetuned_on <= set(subjects)
    weight = 1 / (len(one.rois) * len(pairs))
    return [
        (replace(roi, shares_training=roi.shares_training and not varies), weight)
        for roi in one.rois
    ]
