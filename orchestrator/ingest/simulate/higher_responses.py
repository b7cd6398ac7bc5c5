"""Signals of simulated higher ROIs: the classes, sizes and positions of a scene's objects."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from orchestrator.ingest.simulate.scenes import CLASSES, OUTLINES, TEXTURES, Scene, Thing
from trainables.spec.rois import ROI_FAMILIES

Array = np.ndarray[Any, np.dtype[Any]]

PREFERRED_OUTLINE: Final = {
    "floc-bodies": "limbed",
    "floc-faces": "round",
    "floc-places": "square",
    "floc-words": "elongated",
}
"""The outline that represents the preferred category of each mask family."""


def describe(scenes: Sequence[Scene], n_reference: int | None = None) -> tuple[Array, Array]:
    """Compute features of scenes for higher ROIs: presence (n, classes), shape (n, descriptors).

    presence: area of the objects of each class. shape: size, position, rotation, grey level and
    contrast of the main object, and the number of other objects. n_reference: as of
    :func:`standardise`.
    """
    presence = np.zeros((len(scenes), len(CLASSES)))
    for row, scene in enumerate(scenes):
        for thing in scene.things:
            presence[row, thing.label] += thing.radius**2
    shape = np.array([_describe_main(scene.main, len(scene.things)) for scene in scenes])
    return standardise(np.sqrt(presence), n_reference), standardise(shape, n_reference)


def _describe_main(main: Thing, n_things: int) -> tuple[float, ...]:
    return (
        np.log(main.radius),
        main.x,
        main.y,
        np.cos(2 * main.angle),
        np.sin(2 * main.angle),
        float(np.mean(main.colour)),
        main.contrast,
        float(n_things),
    )


def higher_signals(
    scenes: Sequence[Scene],
    roi_name: str,
    n_vertices: int,
    rng: np.random.Generator,
    n_reference: int | None = None,
) -> Array:
    """Compute noiseless responses: (n_images, n_vertices), each vertex with its own weights.

    n_reference: as of :func:`standardise`.

    s = softplus(2 u), u = presence . preference + shape . weights + (presence . a)(shape . b):
    a threshold, and an interaction between the classes and the shape.
    """
    presence, shape = describe(scenes, n_reference)
    n_classes, n_shapes = presence.shape[1], shape.shape[1]
    preference = (
        0.35 * rng.standard_normal((n_classes, n_vertices)) + _preference(roi_name)[:, None]
    )
    weights = 0.5 * rng.standard_normal((n_shapes, n_vertices)) / np.sqrt(n_shapes)
    a = rng.standard_normal((n_classes, n_vertices)) / np.sqrt(n_classes)
    b = rng.standard_normal((n_shapes, n_vertices)) / np.sqrt(n_shapes)
    drive = presence @ preference + shape @ weights + 0.3 * (presence @ a) * (shape @ b)
    signal: Array = np.logaddexp(0, 2 * drive)
    return signal


def _preference(roi_name: str) -> Array:
    """Return the gain of each class in an ROI: (classes,), 1 for its preferred category, else 0."""
    family = next(name for name, roi_names in ROI_FAMILIES.items() if roi_name in roi_names)
    preferred = PREFERRED_OUTLINE.get(family)
    gain = [
        1.0 if OUTLINES[label // len(TEXTURES)] == preferred else 0.0
        for label in range(len(CLASSES))
    ]
    return np.array(gain)


def standardise(values: Array, n_reference: int | None = None) -> Array:
    """Standardise each column to mean 0 and variance 1; a constant column becomes 0.

    n_reference: the number of first rows whose mean and variance are taken; None: all.
    """
    reference = values[:n_reference]
    spread = reference.std(axis=0)
    standard: Array = (values - reference.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return standard
