"""The score of the Algonauts 2023 challenge."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trainables.encoding.refit import correlate_columns

NO_CEILING: Final = 1e-14
"""What the challenge puts in place of a noise ceiling of 0."""


def noise_normalised(
    responses: NDArray[Any], predicted: NDArray[Any], noise_ceiling: NDArray[Any]
) -> NDArray[np.float64]:
    """Score each vertex as the challenge does: r² in per cent of its noise ceiling.

    responses, predicted: (n_images, n_vertices). noise_ceiling: (n_vertices,) shares of variance.
    An r below 0, or of a constant prediction, counts as 0; a score above 100 as 100. Returns
    (n_vertices,); the challenge's score is the median over the vertices of all subjects.
    """
    r: NDArray[np.float64] = np.nan_to_num(correlate_columns(responses, predicted), nan=0.0)
    explained = np.square(np.maximum(r, 0))
    ceiling = np.where(noise_ceiling == 0, NO_CEILING, noise_ceiling)
    score: NDArray[np.float64] = np.minimum(100 * explained / ceiling, 100)
    return score
