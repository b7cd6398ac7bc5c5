"""Two methods at each vertex: a paired test over test images of the difference in r.

The difference is divided by its standard error, of the jackknife over images, and compared with
Student's t. The tail of that distribution has no end, so that few vertices among many can be found:
a p-value that counts n draws is at least 1/n, and never survives a correction over 20 n vertices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from orchestrator.scores.statistics.hierarchical_interval import LEVEL
from orchestrator.scores.statistics.image_jackknife import standardise

CHUNK: Final = 64
"""Vertices per chunk: the arrays of 1,500 images fit a core's cache."""
LEAST_LEFT: Final = 1e-5
"""Below this share of a vertex's variance it counts as constant without an image."""
ROUNDING: Final = 1e-9
"""A standard error below it is rounding: two predictions that rank all images alike."""

Values = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Predicted:
    """Measured responses and what two methods predict; each (n_images, n_vertices)."""

    measured: np.ndarray[Any, Any]
    a: np.ndarray[Any, Any]
    b: np.ndarray[Any, Any]


@dataclass(frozen=True)
class VertexTests:
    """r of a minus r of b; arrays are (n_vertices,), NaN where either r is not defined."""

    r_a: Values
    r_b: Values
    error: Values
    """The standard error of the difference over images."""
    low: Values
    high: Values
    p: Values
    """Two-sided: the level at which the interval from low to high would end at 0."""


def compare_vertices(predicted: Predicted, level: float = LEVEL) -> VertexTests:
    """Test the difference in r of every vertex over images.

    difference ± t · standard error, t of n_images − 1 degrees of freedom. A vertex has no test
    where an r rests on one image, without which it is not defined.
    """
    n_vertices = predicted.measured.shape[1]
    parts = [np.empty((3, 0))]
    for columns in _chunks(n_vertices):
        measured, a, b = (
            standardise(values[:, columns])
            for values in (predicted.measured, predicted.a, predicted.b)
        )
        parts.append(np.stack(_differences(measured, a, b)))
    r_a, r_b, error = np.concatenate(parts, axis=1)
    return _test(r_a, r_b, error, len(predicted.measured), level)


def _test(r_a: Values, r_b: Values, error: Values, n_images: int, level: float) -> VertexTests:
    from scipy.special import stdtr, stdtrit  # 0.2 s, which most commands don't need

    freedom, difference = n_images - 1, r_a - r_b
    is_rounding, is_equal = error < ROUNDING, np.abs(difference) < ROUNDING
    error = np.where(is_rounding, np.where(is_equal, 0.0, np.nan), error)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = np.where(error == 0, 1.0, 2 * stdtr(freedom, -np.abs(difference) / error))
    half = stdtrit(freedom, (1 + level) / 2) * error
    return VertexTests(r_a, r_b, error, difference - half, difference + half, p)


def _chunks(n_vertices: int) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, n_vertices, CHUNK))


def _differences(measured: Values, a: Values, b: Values) -> tuple[Values, Values, Values]:
    """Return r of both methods, and the standard error of their difference: (n_vertices,) each."""
    left = _variance_left(measured)
    (r_a, without_a), (r_b, without_b) = (_leave_one_out(measured, left, one) for one in (a, b))
    without = without_a - without_b
    error: Values = np.sqrt(len(measured) - 1) * without.std(axis=0)
    return r_a, r_b, error


def _leave_one_out(measured: Values, left: Values, predicted: Values) -> tuple[Values, Values]:
    """Return r, (n_vertices,), and r without each image, (n_images, n_vertices).

    measured, predicted: standardised. left: the measured responses' variance without each image.
    """
    products = measured * predicted
    r = products.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        without = (r - products / (len(products) - 1)) / np.sqrt(left * _variance_left(predicted))
    return r, without


def _variance_left(standardised: Values) -> Values:
    """Return the variance without each image, over that with it times n/(n − 1); NaN for none."""
    left: Values = 1 - np.square(standardised) / (len(standardised) - 1)
    return np.where(left < LEAST_LEFT, np.nan, left)
