"""Time the bootstrap of NSD's largest ROI over its test images.

python -m benchmarks.bootstrap [--vertices 5741] [--images 1477] [--draws 1000]

It runs on one thread. For comparison, a few draws are computed by a loop of NumPy correlations, and
their time is scaled to all draws.
"""

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

from orchestrator.scores.statistics.image_bootstrap import (
    ImageBootstrap,
    Predicted,
    draw_counts,
    draw_mean_differences,
    standardise,
)

PLAIN_DRAWS = 5


def main() -> None:
    """Time both and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vertices", type=int, default=5741)
    parser.add_argument("--images", type=int, default=1477)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    ours, plain = seconds(options.images, options.vertices, options.draws)
    print(f"{options.draws:,} draws of {options.vertices:,} vertices x {options.images:,} images")
    print(f"ours   {ours:8.1f} s")
    print(f"loop   {plain:8.1f} s, {plain / ours:.1f} times as long (from {PLAIN_DRAWS} draws)")


def seconds(n_images: int, n_vertices: int, n_draws: int) -> tuple[float, float]:
    """Return the seconds of this implementation and of the plain loop."""
    predicted = _simulate(n_images, n_vertices)
    with threadpool_limits(1):
        start = time.perf_counter()
        counts = draw_counts(n_images, ImageBootstrap(n_draws), "nsd-subj05")
        draw_mean_differences(predicted, counts)
        ours = time.perf_counter() - start
        return ours, _plain_seconds(predicted) * n_draws


def _simulate(n_images: int, n_vertices: int) -> Predicted:
    rng = np.random.default_rng(0)
    shape = (n_images, n_vertices)
    signal = rng.standard_normal(shape, dtype=np.float32)
    measured, a, b = (signal + rng.standard_normal(shape, dtype=np.float32) for _ in range(3))
    return Predicted(measured, *(standardise(p).astype(np.float16) for p in (a, b)))


def _plain_seconds(predicted: Predicted) -> float:
    """Time one draw of the plain loop: select images, standardise, correlate."""
    rng = np.random.default_rng(1)
    n_images = len(predicted.measured)
    a, b = (values.astype(np.float32) for values in (predicted.a, predicted.b))
    start = time.perf_counter()
    for _ in range(PLAIN_DRAWS):
        rows = rng.integers(n_images, size=n_images)
        measured = standardise(predicted.measured[rows])
        for values in (a, b):
            (measured * standardise(values[rows])).mean(axis=0)
    return (time.perf_counter() - start) / PLAIN_DRAWS


if __name__ == "__main__":
    main()
