"""How much each test image moves an ROI's median share of the explainable variance.

Without an image the median is still that of one vertex or two, whose own errors a jackknife of it
would not average out. Instead, an image's effect on the median is its mean effect on the vertices
near it.
"""

from typing import Any, Final

import numpy as np

from orchestrator.scores.statistics.image_jackknife import MeasuredResponses, Values, effects_of

WINDOW: Final = float(np.sqrt(np.pi) / 2)
"""Half the width of the window around the median, in standard errors of a vertex's share.

With independent errors of standard deviation s the median of V vertices of density f has the
variance s / (√π V f), and the mean over those within w s of it has s² / (2 w s V f).
"""

Array = np.ndarray[Any, Any]


def median_share(
    measured: MeasuredResponses, predicted: Array, vertices: Array, ceiling: Array
) -> tuple[float, Values]:
    """Return the median of r |r| / ceiling², and each image's effect on it: (n_images,), of mean 0.

    predicted: (n_images, n_vertices). vertices: (n_vertices,) bool, those with an r. ceiling:
    (n_vertices,) noise ceilings as an r, above 0 at these vertices. The sum of squared effects
    estimates the variance of the median over images.
    """
    chunks = list(measured.without_each(predicted, vertices))
    r = np.concatenate([of_chunk for of_chunk, _ in chunks])
    squares = np.square(ceiling[vertices].astype(np.float64))
    share = r * np.abs(r) / squares
    weights = near_median(share, share_errors(r, squares, measured.n_images))
    total, start = np.zeros(measured.n_images), 0
    for of_chunk, without in chunks:
        part = slice(start, start + len(of_chunk))
        total += (without * np.abs(without)) @ (weights[part] / squares[part])
        start = part.stop
    return float(np.median(share)), effects_of(total)


def share_errors(r: Values, squares: Values, n_images: int) -> Values:
    """Approximate the standard error over images of r |r| / ceiling² of each vertex.

    r, squares: (n_vertices,), the latter ceiling². r is taken as normal, with the variance
    s² = (1 − r²)² / n; r |r| then has a variance near 4 r² s² + 3 s⁴.
    """
    variance = np.square(1 - np.square(r)) / n_images
    errors: Values = np.sqrt(4 * np.square(r) * variance + 3 * np.square(variance)) / squares
    return errors


def near_median(share: Values, errors: Values) -> Values:
    """Weigh equally the vertices near the median; the weights, (n_vertices,), add up to 1.

    share, errors: (n_vertices,). The one or two vertices in the middle are always among them.
    """
    distance = np.abs(share - np.median(share))
    reach = max(WINDOW * float(np.median(errors)), float(distance.min()) * (1 + 1e-9))
    chosen = distance <= reach + 1e-12
    weights: Values = chosen / chosen.sum()
    return weights
