"""Two methods in an ROI: a paired bootstrap over test images of their mean difference in r.

A draw resamples the test images with replacement and computes r of both methods on the resample.
It needs only sums that are weighted by how often each image was drawn, so that all draws of all
vertices are products of a matrix of counts with responses and predictions.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

CHUNK: Final = 256
"""Vertices per chunk: their eight sums for 1,000 draws take 8 MB."""
LEAST_VARIANCE: Final = 1e-5
"""Below this share of the variance over all images a resample counts as constant."""

Values = np.ndarray[Any, np.dtype[np.float64]]
Single = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class ImageBootstrap:
    """How test images are drawn."""

    n_draws: int = 1000
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Predicted:
    """Measured responses and what two methods predict; each (n_images, n_vertices)."""

    measured: np.ndarray[Any, Any]
    a: np.ndarray[Any, Any]
    b: np.ndarray[Any, Any]


def draw_counts(n_images: int, bootstrap: ImageBootstrap, subject: str) -> Single:
    """Draw how often each image is taken: (n_draws, n_images), each row sums to n_images.

    Seeded by the subject, so that all its vertices see the same draws, whatever else is compared.
    """
    generator = np.random.default_rng([bootstrap.seed, zlib.crc32(subject.encode())])
    equal = np.full(n_images, 1 / n_images)
    return generator.multinomial(n_images, equal, size=bootstrap.n_draws).astype(np.float32)


def draw_mean_differences(predicted: Predicted, counts: Single) -> Values:
    """Draw the mean over vertices of r of a minus r of b: (n_draws,); NaN without a vertex.

    counts: (n_draws, n_images), as of :func:`draw_counts`. Columns are standardised in float64
    first, so float32 sums cost about 1e-6 in r. A vertex is left out of a draw in which an r is not
    defined.
    """
    total, n_defined = np.zeros(len(counts)), np.zeros(len(counts))
    for columns in _chunks(predicted.measured.shape[1]):
        measured, a, b = (
            standardise(values[:, columns])
            for values in (predicted.measured, predicted.a, predicted.b)
        )
        drawn = _drawn_differences((measured, a, b), counts)
        defined = ~np.isnan(drawn)
        total += np.where(defined, drawn, 0.0).sum(axis=1)
        n_defined += defined.sum(axis=1)
    with np.errstate(invalid="ignore"):
        means: Values = total / n_defined
    return means


def _chunks(n_vertices: int) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, n_vertices, CHUNK))


def standardise(columns: np.ndarray[Any, Any]) -> Values:
    """Standardise columns to mean 0 and variance 1; NaN where a column is constant."""
    values = columns.astype(np.float64)
    values -= values.mean(axis=0)
    spread = values.std(axis=0)
    standard: Values = values / np.where(spread > 0, spread, np.nan)
    return standard


def _drawn_differences(columns: tuple[Values, Values, Values], counts: Single) -> Single:
    """Compute r(a) − r(b) of every draw: (n_draws, n_vertices)."""
    measured, a, b = (values.astype(np.float32) for values in columns)
    products = (measured, measured**2, a, a**2, measured * a, b, b**2, measured * b)
    n_images, n_vertices = measured.shape
    sums = counts @ np.concatenate(products, axis=1)
    sums /= n_images
    of_y, y2, of_a, a2, ya, of_b, b2, yb = sums.reshape(len(counts), 8, n_vertices).swapaxes(0, 1)
    variance = y2 - of_y**2
    difference: Single = _r(ya - of_y * of_a, variance, a2 - of_a**2)
    difference -= _r(yb - of_y * of_b, variance, b2 - of_b**2)
    return difference


def _r(covariance: Single, variance: Single, other: Single) -> Single:
    defined = (variance > LEAST_VARIANCE) & (other > LEAST_VARIANCE)
    with np.errstate(invalid="ignore", divide="ignore"):
        r: Single = covariance / np.sqrt(variance * other)
    return np.where(defined, r, np.float32(np.nan))
