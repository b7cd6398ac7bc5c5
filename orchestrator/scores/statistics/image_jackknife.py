"""How much each test image moves the mean r of an ROI: an exact jackknife over images.

r of every vertex is computed again without each image, in closed form from standardised columns:
one pass over the predictions, without random draws. The vertices stay together.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

CHUNK: Final = 64
"""Vertices per chunk: the arrays of 1,500 images fit a core's cache."""
LEAST_LEFT: Final = 1e-5
"""The least share of a vertex's variance without an image, below which it is constant there."""

Values = np.ndarray[Any, np.dtype[np.float64]]
Single = np.ndarray[Any, np.dtype[np.float32]]
Array = np.ndarray[Any, Any]


def standardise(columns: np.ndarray[Any, Any]) -> Values:
    """Standardise columns to mean 0 and variance 1; NaN where a column is constant."""
    values = columns.astype(np.float64)
    values -= values.mean(axis=0)
    spread = values.std(axis=0)
    standard: Values = values / np.where(spread > 0, spread, np.nan)
    return standard


class MeasuredResponses:
    """Measured responses, standardised once for all methods that predict them.

    measured: (n_images, n_vertices).
    """

    def __init__(self, measured: Array) -> None:
        self.n_images, self.n_vertices = measured.shape
        self._measured: Single = standardise(measured).astype(np.float32)
        self._left = _variance_left(self._measured)
        self.varies = np.isfinite(self._measured).all(axis=0)
        """(n_vertices,) whether a vertex has an r at all."""

    def mean_r(self, predicted: Array, vertices: Array) -> tuple[float, Values]:
        """Return the mean r, and each image's effect on it: (n_images,), of mean 0.

        predicted: (n_images, n_vertices). vertices: (n_vertices,) bool, those that are averaged,
        with an r each. The sum of squared effects estimates the variance of the mean r over images;
        that of the difference of two methods' effects, the variance of their difference.
        """
        total_r, total = 0.0, np.zeros(self.n_images)
        for r, without in self.without_each(predicted, vertices):
            total_r += float(r.sum())
            total += without.sum(axis=1, dtype=np.float64)
        return total_r / int(vertices.sum()), effects_of(total / vertices.sum())

    def without_each(self, predicted: Array, vertices: Array) -> Iterator[tuple[Values, Single]]:
        """Yield r of some vertices with all images, (n,), and without each, (n_images, n).

        They come in chunks, in the order of the vertices, which have an r each. A vertex that is
        constant without an image has there its r on all images.
        """
        for start in range(0, self.n_vertices, CHUNK):
            part = slice(start, start + CHUNK)
            chosen = vertices[part]
            if chosen.any():
                yield self._without_each(predicted[:, part][:, chosen], part, chosen)

    def _without_each(self, predicted: Array, part: slice, chosen: Array) -> tuple[Values, Single]:
        single: Single = predicted.astype(np.float32)
        single -= single.mean(axis=0)
        single /= np.sqrt(np.square(single).mean(axis=0))
        measured: Single = self._measured[:, part][:, chosen]
        products: Single = np.multiply(measured, single, dtype=np.float32)
        r: Values = products.mean(axis=0, dtype=np.float64)
        left = self._left[:, part][:, chosen] * _variance_left(single)
        products *= np.float32(-1 / (self.n_images - 1))
        products += r.astype(np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            products /= np.sqrt(left)
        if left.min() < LEAST_LEFT:
            np.copyto(products, r.astype(np.float32), where=left < LEAST_LEFT)
        return r, products


def effects_of(without: Values) -> Values:
    """Return each image's effect on a number: (n_images,), of mean 0.

    without: (n_images,) the number without each image.
    """
    n = len(without)
    effects: Values = (without.mean() - without) * np.sqrt((n - 1) / n)
    return effects


def _variance_left(standardised: Single) -> Single:
    """Return the variance without each image, over that with it times n/(n − 1): 1 − z²/(n − 1)."""
    left: Single = np.square(standardised)
    left *= np.float32(-1 / (len(standardised) - 1))
    left += np.float32(1)
    return left
