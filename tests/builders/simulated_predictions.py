"""Simulated responses, and what two methods predict of them."""

import numpy as np

from orchestrator.scores.statistics.vertex_tests import Predicted


def simulate(
    seed: int, n_images: int = 120, n_vertices: int = 7, gain: float | np.ndarray = 0.0
) -> Predicted:
    """Two methods that share most of their error; a is the better one by gain."""
    rng = np.random.default_rng(seed)
    signal, shared, *noise = rng.standard_normal((5, n_images, n_vertices))
    measured = signal + 1.5 * noise[0]
    a = (1 + gain) * signal + 0.8 * shared + 0.5 * noise[1]
    return Predicted(measured, a, signal + 0.8 * shared + 0.5 * noise[2])
