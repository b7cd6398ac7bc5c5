"""Accuracy of groups of backbones against the untuned one, with intervals.

All backbones classify the same test images, so that the difference of an image is paired.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from orchestrator.analyze.backbone_columns import read_columns
from orchestrator.analyze.model_groups import MODEL_GROUPS, model_group_of
from orchestrator.scores.rows import method_order, subject_weights
from orchestrator.scores.statistics.hierarchical_interval import mean_uncertainty
from orchestrator.scores.statistics.roi_differences import (
    Images,
    RoiDifference,
    TrialScore,
    subtract,
)
from trainables.probes.probe import ProbeRecord

FEWEST_IMAGES: Final = 2
"""Fewer show no variance over images."""


@dataclass(frozen=True)
class Classified:
    """A backbone whose classifier was measured."""

    record: ProbeRecord
    place: dict[str, Any]
    """BACKBONE_FIELDS."""

    @property
    def accuracy(self) -> float:
        """The share of test images that it classifies correctly."""
        return float(self.record.numbers["accuracy"])

    @property
    def group(self) -> str | None:
        """Its group of ROIs; None if untuned."""
        named = self.place["roi"], self.place["hemisphere"]
        return model_group_of(*named) if self.record.probed.is_finetuned else None

    @cached_property
    def score(self) -> TrialScore:
        """Its accuracy, and what each test image adds to it."""
        rows = read_columns(self.record, ("index", "label", "log_probabilities"), "classification")
        logs = rows["log_probabilities"].combine_chunks()
        chosen = logs.flatten().to_numpy().reshape(len(logs), -1).argmax(axis=1)
        correct = (chosen == rows["label"].to_numpy()).astype(np.float64)
        n = len(correct)
        effects = (correct - correct.mean()) / np.sqrt(n * max(n - 1, 1))
        is_finetuned = self.record.probed.is_finetuned
        seed = str(self.record.probed.model.seed) if is_finetuned else None
        return TrialScore(
            seed, self.accuracy, Images(rows["index"].to_numpy().astype(np.int64), effects)
        )


def reference_of(probed: Sequence[Classified]) -> Classified | None:
    """Return the untuned backbone; None unless there is exactly one."""
    untuned = [one for one in probed if not one.record.probed.is_finetuned]
    return untuned[0] if len(untuned) == 1 else None


def group_rows(
    probed: Sequence[Classified], untuned: Classified | None
) -> Iterator[dict[str, Any]]:
    """Yield a row per method and group of ROIs: accuracy, and its difference from untuned.

    probed: backbones of one task.
    """
    finetuned = [one for one in probed if one.group is not None]
    for method in method_order(one.place["method"] for one in finetuned):
        for group in MODEL_GROUPS:
            alike = [
                one for one in finetuned if (one.place["method"], one.group) == (method, group)
            ]
            if alike:
                numbers = alike[0].record.numbers
                sizes = {name: numbers[name] for name in ("n_test", "n_classes")}
                named = {"level": "group", "method": method, "model_group": group}
                yield {**named, **sizes, **_summarise(alike, untuned)}


def _summarise(alike: Sequence[Classified], untuned: Classified | None) -> dict[str, Any]:
    """Average the backbones of a method and group: over seeds, ROIs of a subject, and subjects."""
    by_roi: dict[tuple[str, ...], list[Classified]] = {}
    for one in alike:
        key = tuple(one.place[name] for name in ("dataset", "subject", "hemisphere", "roi"))
        by_roi.setdefault(key, []).append(one)
    subjects = [(dataset, subject) for dataset, subject, *_ in by_roi]
    weights = subject_weights(subjects)
    means = [np.mean([one.accuracy for one in seeds]) for seeds in by_roi.values()]
    found = {
        "accuracy": float(weights @ np.array(means)),
        "n_backbones": len(alike),
        "n_subjects": len(set(subjects)),
    }
    if untuned is None:
        return found
    difference = found["accuracy"] - untuned.accuracy
    if untuned.record.numbers["n_test"] < FEWEST_IMAGES:
        return {**found, "difference": difference}
    differences = [_compare(seeds, untuned) for seeds in by_roi.values()]
    interval = mean_uncertainty(differences, weights.tolist())
    return {
        **found,
        "difference": difference,
        "low": difference - interval.half_width,
        "high": difference + interval.half_width,
        "covers_subjects": interval.covers_subjects,
        "covers_seeds": interval.covers_seeds,
    }


def _compare(seeds: Sequence[Classified], untuned: Classified) -> RoiDifference:
    """Subtract the untuned backbone from those of an ROI, which differ in their seeds."""
    place = seeds[0].place
    return subtract(
        (place["dataset"], place["subject"]),
        [one.score for one in seeds],
        [untuned.score],
        shares_training=len(seeds[0].record.probed.model.rois) > 1,
    )
