"""The forward model of simulated subjects: from images and scenes to measured responses.

Early ROIs see the pixels (``early_responses``), higher ROIs the contents of the scene
(``higher_responses``). The model is independent of the backbone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchestrator.ingest.simulate.cortex import HOMES, Cortex
from orchestrator.ingest.simulate.early_responses import early_signals
from orchestrator.ingest.simulate.higher_responses import higher_signals, standardise
from orchestrator.ingest.simulate.local_features import LocalFeatures
from orchestrator.ingest.simulate.receptive_fields import draw_receptive_fields
from orchestrator.ingest.simulate.scenes import Scene
from trainables.spec.rois import EARLY, HEMISPHERES

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Responses:
    """One hemisphere's signal and its noisy measurement."""

    signal: Array
    """(n_images, n_vertices) float32, noiseless; mean 0 and variance 1, or 0 without signal."""
    measured: Array
    """(n_images, n_vertices) float32, variance 1 expected."""
    noise_ceiling: Array
    """(n_vertices,) float32: expected r between signal and measurement; 0 without signal."""


def respond(
    cortex: Cortex,
    hemisphere: str,
    scenes: Sequence[Scene],
    features: LocalFeatures,
    ceilings: tuple[float, float],
    seed: Sequence[int],
    n_reference: int | None = None,
) -> Responses:
    """Simulate a subject's responses to images: measured = c signal + sqrt(1 - c^2) noise.

    scenes: what the images show; none if the cortex has no higher ROI. c: a vertex's noise ceiling,
    drawn uniformly from the given range. seed: identifies the subject; each ROI and the noise have
    random generators of their own. n_reference: the number of first images over which signals have
    mean 0 and variance 1; None: all. The responses to these do not depend on the others, but for
    rounding.
    """
    place = HEMISPHERES.index(hemisphere)
    signal = np.zeros((len(features), cortex.n_vertices), np.float32)
    for number, roi_name in enumerate(HOMES):
        vertices = cortex.homes(roi_name)
        if len(vertices) == 0:
            continue
        rng = np.random.default_rng([*seed, place, 3, number])
        if roi_name in EARLY:
            fields = draw_receptive_fields(roi_name, hemisphere, len(vertices), rng)
            found = early_signals(features, roi_name, fields, rng)
        else:
            found = higher_signals(scenes, roi_name, len(vertices), rng, n_reference)
        signal[:, vertices] = standardise(found, n_reference)
    rng = np.random.default_rng([*seed, place, 4])
    responds = np.array([home is not None for home in cortex.home])
    ceiling = np.where(responds, rng.uniform(*ceilings, cortex.n_vertices), 0).astype(np.float32)
    noise = rng.standard_normal(signal.shape, dtype=np.float32)
    return Responses(signal, ceiling * signal + np.sqrt(1 - ceiling**2) * noise, ceiling)
