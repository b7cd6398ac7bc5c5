"""The forward model: oriented energy in early ROIs, object classes and shapes in higher ROIs.

Early vertices follow the energy model of a receptive field (Jones & Palmer, 1987; Adelson &
Bergen, 1985), pooled over a Gaussian population receptive field as in Kay et al. (2008). Higher
vertices respond to the contents of a scene: the classes, sizes and positions of its objects. The
model is independent of the backbone. Positions run from -1 to 1, rightwards and upwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import scipy.fft
from PIL import Image

from orchestrator.ingest.simulate.cortex import HOMES, Cortex
from orchestrator.ingest.simulate.scenes import CLASSES, OUTLINES, TEXTURES, Scene, Thing
from trainables.spec.rois import EARLY, HEMISPHERES, ROI_FAMILIES

Array = np.ndarray[Any, np.dtype[Any]]

SIZE: Final = 64
"""Images are resized to this size (pixels) before their energy is measured."""
GRID: Final = 32
"""Energy is averaged to a grid of this many positions per side before it is pooled."""
FREQUENCIES: Final = (4.0, 8.0, 16.0)
"""Cycles per image."""
ORIENTATIONS: Final = tuple(k * np.pi / 6 for k in range(6))
BANDWIDTH: Final = (0.55, 0.4)
"""Bandwidths of a filter: standard deviations in log frequency and in radians of orientation."""
SATURATION: Final = 1e-4
"""Energy (squared luminance, range 0 to 1) at which responses start to saturate."""
FIELD_WIDTH: Final = {"V1": 0.10, "V2": 0.14, "V3": 0.20, "hV4": 0.30}
"""Standard deviation of a receptive field at the fovea; it doubles at the image's edge."""

PREFERRED_OUTLINE: Final = {
    "floc-bodies": "limbed",
    "floc-faces": "round",
    "floc-places": "square",
    "floc-words": "elongated",
}
"""The outline that represents the preferred category of each mask family."""


@dataclass(frozen=True)
class ReceptiveFields:
    """The receptive fields of n_vertices early vertices."""

    centre: Array
    """(n_vertices, 2): rightwards and upwards."""
    width: Array
    """(n_vertices,): standard deviation of the Gaussian."""
    tuning: Array
    """(n_vertices, frequencies x orientations): weight of each filter's log energy."""

    def pooling(self) -> Array:
        """Compute the weight of each grid position: (GRID * GRID, n_vertices), columns sum to 1."""
        places = (2 * np.arange(GRID) + 1) / GRID - 1
        right, up = np.meshgrid(places, -places)
        distance = (right.reshape(-1, 1) - self.centre[:, 0]) ** 2 + (
            up.reshape(-1, 1) - self.centre[:, 1]
        ) ** 2
        bell = np.exp(-distance / (2 * self.width**2))
        share: Array = (bell / bell.sum(axis=0)).astype(np.float32)
        return share


def draw_receptive_fields(
    roi_name: str, hemisphere: str, n_vertices: int, rng: np.random.Generator
) -> ReceptiveFields:
    """Draw contralateral receptive fields of an early ROI, in the upper field for ventral parts."""
    eccentricity = rng.uniform(0.05, 0.9, n_vertices)
    elevation = rng.uniform(-np.pi / 2, np.pi / 2, n_vertices)
    if roi_name[-1] in "vd":
        elevation = np.abs(elevation) * (1 if roi_name[-1] == "v" else -1)
    side = 1 if hemisphere == "lh" else -1
    centre = eccentricity[:, None] * np.stack([side * np.cos(elevation), np.sin(elevation)], axis=1)
    width = FIELD_WIDTH[roi_name.rstrip("vd") if roi_name != "hV4" else roi_name] * (
        1 + eccentricity
    )
    return ReceptiveFields(centre, width, _draw_tuning(n_vertices, rng))


def _draw_tuning(n_vertices: int, rng: np.random.Generator) -> Array:
    """Draw bell-shaped tuning curves minus part of their mean, as cross-orientation suppression."""
    log_frequency = np.log(FREQUENCIES)
    preferred = rng.uniform(log_frequency[0], log_frequency[-1], (n_vertices, 1))
    by_frequency = np.exp(-((log_frequency - preferred) ** 2) / (2 * 0.6**2))
    angle = np.asarray(ORIENTATIONS) - rng.uniform(0, np.pi, (n_vertices, 1))
    by_orientation = np.exp(2 * np.cos(2 * angle))
    bells = (by_frequency[:, :, None] * by_orientation[:, None, :]).reshape(n_vertices, -1)
    tuning: Array = bells / bells.sum(axis=1, keepdims=True) - 0.5 / bells.shape[1]
    return tuning


def measure_energy(images: Sequence[Array]) -> Array:
    """Measure local oriented energy: (n_images, filters, GRID * GRID) float32.

    images: (height, width, 3) uint8 each. Energy is the squared magnitude of the response of a
    quadrature pair of log-Gabor filters to luminance, frequencies before orientations.
    """
    luminance = np.stack([_luminance(image) for image in images])
    luminance -= luminance.mean(axis=(1, 2), keepdims=True)
    spectrum = scipy.fft.fft2(luminance)
    roi = SIZE // GRID
    energy = np.empty((len(images), len(_filters()), GRID * GRID), np.float32)
    for place, gain in enumerate(_filters()):
        response = scipy.fft.ifft2(spectrum * gain)
        squared = (response.real**2 + response.imag**2).reshape(-1, GRID, roi, GRID, roi)
        energy[:, place] = squared.mean(axis=(2, 4)).reshape(len(images), -1)
    return energy


def _luminance(image: Array) -> Array:
    """Convert to (SIZE, SIZE) float32, 0 to 1."""
    picture = Image.fromarray(image).convert("L")
    if picture.size != (SIZE, SIZE):
        picture = picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.float32) / 255


@lru_cache(maxsize=1)
def _filters() -> Array:
    """Build one-sided log-Gabor filters (Field, 1987): (filters, SIZE, SIZE) float32."""
    bins = SIZE * np.fft.fftfreq(SIZE)
    right, up = np.meshgrid(bins, -bins)
    radius, angle = np.maximum(np.hypot(right, up), 1e-6), np.arctan2(up, right)
    gains = []
    for frequency in FREQUENCIES:
        radial = np.exp(-(np.log(radius / frequency) ** 2) / (2 * BANDWIDTH[0] ** 2))
        for orientation in ORIENTATIONS:
            apart = np.angle(np.exp(1j * (angle - orientation)))
            gains.append(2 * radial * np.exp(-(apart**2) / (2 * BANDWIDTH[1] ** 2)))
    return np.stack(gains).astype(np.float32)


def early_signals(energy: Array, fields: ReceptiveFields) -> Array:
    """Compute noiseless responses: (n_images, n_vertices).

    s = sum_f tuning_f log(1 + pooled energy_f / SATURATION), over filters f.
    """
    pooled = energy @ fields.pooling()
    signal: Array = np.einsum("nfv,vf->nv", np.log1p(pooled / SATURATION), fields.tuning)
    return signal


def describe(scenes: Sequence[Scene]) -> tuple[Array, Array]:
    """Compute features of scenes for higher ROIs: presence (n, classes), shape (n, descriptors).

    presence: area of the objects of each class. shape: size, position, rotation, grey level and
    contrast of the main object, and the number of other objects.
    """
    presence = np.zeros((len(scenes), len(CLASSES)))
    for row, scene in enumerate(scenes):
        for thing in scene.things:
            presence[row, thing.label] += thing.radius**2
    shape = np.array([_describe_main(scene.main, len(scene.things)) for scene in scenes])
    return standardise(np.sqrt(presence)), standardise(shape)


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
    scenes: Sequence[Scene], roi_name: str, n_vertices: int, rng: np.random.Generator
) -> Array:
    """Compute noiseless responses: (n_images, n_vertices), each vertex with its own weights.

    s = softplus(2 u), u = presence . preference + shape . weights + (presence . a)(shape . b):
    a threshold, and an interaction between the classes and the shape.
    """
    presence, shape = describe(scenes)
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
    energy: Array,
    ceilings: tuple[float, float],
    seed: Sequence[int],
) -> Responses:
    """Simulate a subject's responses to images: measured = c signal + sqrt(1 - c^2) noise.

    c: a vertex's noise ceiling, drawn uniformly from the given range. seed: identifies the subject;
    each ROI and the noise have random generators of their own.
    """
    place = HEMISPHERES.index(hemisphere)
    signal = np.zeros((len(scenes), cortex.n_vertices), np.float32)
    for number, roi_name in enumerate(HOMES):
        vertices = cortex.homes(roi_name)
        rng = np.random.default_rng([*seed, place, 3, number])
        signal[:, vertices] = standardise(
            early_signals(energy, draw_receptive_fields(roi_name, hemisphere, len(vertices), rng))
            if roi_name in EARLY
            else higher_signals(scenes, roi_name, len(vertices), rng)
        )
    rng = np.random.default_rng([*seed, place, 4])
    responds = np.array([home is not None for home in cortex.home])
    ceiling = np.where(responds, rng.uniform(*ceilings, cortex.n_vertices), 0).astype(np.float32)
    noise = rng.standard_normal(signal.shape, dtype=np.float32)
    return Responses(signal, ceiling * signal + np.sqrt(1 - ceiling**2) * noise, ceiling)


def standardise(values: Array) -> Array:
    """Standardise each column to mean 0 and variance 1; a constant column becomes 0."""
    spread = values.std(axis=0)
    standard: Array = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return standard
