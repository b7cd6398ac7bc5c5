"""Score a model's predictions of NSD-synthetic, over all images and by class."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from orchestrator.encoding_models.config import ModelConfig, ModelDirectory
from orchestrator.evaluate.ood.image_groups import Array
from orchestrator.evaluate.ood.predictions import Predictions
from orchestrator.evaluate.ood.synthetic_subjects import SyntheticSubject
from orchestrator.scores.ood.score_files import ALL_CLASSES, SCHEMA
from orchestrator.scores.statistics.image_jackknife import MeasuredResponses, standardise
from trainables.encoding.refit import correlate_columns
from trainables.spec import Untuned, digest
from trainables.spec.evaluation import training_of
from trainables.spec.rois import roi_group_of
from trainables.spec.setting import setting_of

VERSION: Final = 3
"""Of the scores: raised where the same data and model get other ones."""
FEWEST_IMAGES: Final = 4
"""A class of fewer images has no scores: r of three images says nothing."""


@dataclass(frozen=True)
class _Measured:
    """A model's predictions beside the measured responses: (n_images, n_vertices) each."""

    config: ModelConfig
    predicted: Predictions
    responses: Array

    def row(self, chosen: Array, images: Array, ceilings: Array) -> dict[str, Any]:
        """Score a class of images. chosen: (n_images,) bool. images: (n_images,) their keys."""
        known = MeasuredResponses(self.responses[chosen])
        r_in, ceiling_in = (
            np.array([np.nan if v is None else v for v in column], np.float64)
            for column in (self.config.vertices.r, self.config.vertices.noise_ceiling)
        )
        r, r_mean, effect, averaged = self._score(known, chosen, self.predicted.exported, r_in)
        again = self.predicted.refitted
        refitted: tuple[Array, float | None, Array] = np.full(len(r), np.nan), None, np.zeros(0)
        if again is not None:
            refitted = self._score(known, chosen, again, r_in)[:3]
        return {
            "n_images": int(chosen.sum()),
            "r": r,
            "r_refitted": refitted[0],
            "r_in": r_in,
            "noise_ceiling": ceilings.astype(np.float64),
            "noise_ceiling_in": ceiling_in,
            "r_mean": r_mean,
            "r_refitted_mean": refitted[1],
            "r_in_mean": float(r_in[averaged].mean()) if averaged.any() else None,
            "image": images[chosen] if averaged.any() else [],
            "effect": effect,
            "effect_refitted": refitted[2],
        }

    def _score(
        self, known: MeasuredResponses, chosen: Array, predicted: Array, r_in: Array
    ) -> tuple[Array, float | None, Array, Array]:
        """Return r of each vertex, their mean, each image's effect on it, and which are averaged.

        Those are the vertices that have an r on NSD's test images too.
        """
        own, measured = predicted[chosen], self.responses[chosen]
        varies = known.varies & np.isfinite(standardise(own)).all(axis=0)
        r = np.where(varies, correlate_columns(measured, own), np.nan)
        averaged = varies & np.isfinite(r_in)
        if not averaged.any():
            return r, None, np.zeros(0), averaged
        return r, *known.mean_r(own, averaged), averaged


def score_model(model: ModelDirectory, subject: SyntheticSubject, found: Predictions) -> pa.Table:
    """Compare a model's predictions of all images with the measured responses: by SCHEMA.

    A vertex that is constant has no r.
    """
    measured = _Measured(model.config, found, subject.responses(model))
    constants = _describe(model.config) | {"n_groups": int(subject.groups.max()) + 1}
    keys = subject.image_keys
    rows = [
        constants
        | {"image_class": name}
        | measured.row(chosen, keys, subject.ceilings(model, name))
        for name, chosen in _classes(subject.classes)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def _classes(classes: Array) -> Iterator[tuple[str, Array]]:
    """Yield all images, then those of each class in the order of the images."""
    yield ALL_CLASSES, np.ones(len(classes), bool)
    for name in dict.fromkeys(classes.tolist()):
        chosen = classes == name
        if chosen.sum() >= FEWEST_IMAGES:
            yield name, chosen


def _describe(config: ModelConfig) -> dict[str, Any]:
    trial = training_of(config.trial)
    return {
        "model": config.name,
        "dataset": config.roi.dataset,
        "subject": config.roi.subject,
        "hemisphere": config.roi.hemisphere,
        "roi": config.roi.name,
        "group": roi_group_of(config.roi.name),
        "roi_id": config.roi.id,
        "method": config.method,
        "setting": setting_of(config.trial).digest,
        "seed": None if isinstance(trial.objective, Untuned) else str(trial.seed),
        "layer": config.layer,
        "vertex": config.vertices.vertex,
        "standard_error_in": _standard_error(config),
        "is_simulated": config.is_simulated,
    }


def _standard_error(config: ModelConfig) -> float | None:
    """Return the standard error over NSD's test images, from the model's 95 % interval."""
    from scipy.special import stdtrit  # only needed here

    score = config.score
    if score.low is None or score.high is None:
        return None
    return float((score.high - score.low) / 2 / stdtrit(score.n_test - 1, 0.975))


def sources_of(model: ModelDirectory, subject: SyntheticSubject) -> str:
    """Digest everything that a model's scores are computed from."""
    files = sorted(subject.manifest.files.items())
    return digest([VERSION, str(SCHEMA), model.config.to_json(), subject.manifest.data, files])
