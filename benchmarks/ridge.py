"""Compare ridge of all vertices at all alphas on principal scores with himalaya's.

python -m benchmarks.ridge [--images 1500] [--vertices 2000] [--threads 1]

Both get the same principal scores and one split, and select each vertex's best of nine alphas by
Pearson r. himalaya's time includes two factorisations of the scores, for the split and for all
images, which this package does not need.
"""

import argparse
import statistics
import warnings
from typing import Any

import numpy as np
import torch
from himalaya.ridge import solve_ridge_cv_svd
from himalaya.scoring import correlation_score
from sklearn.model_selection import PredefinedSplit

from benchmarks.ceilings import timed
from benchmarks.spectra import plausible_gram
from trainables.compute.device import use_threads
from trainables.compute.precision import full_float32
from trainables.encoding.ridge import Fold, correlate
from trainables.spec import Encoding

CPU = torch.device("cpu")


def main() -> None:
    """Time both alternately; print the ratio with its spread."""
    parser = argparse.ArgumentParser(description="Ridge against himalaya's.")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--vertices", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    use_threads(options.threads)
    warnings.filterwarnings("ignore", category=UserWarning)
    found = ratios(options.images, options.vertices, options.repeats)
    print(
        f"himalaya takes {statistics.median(found):.1f} times as long "
        f"({min(found):.1f} to {max(found):.1f})"
    )


def ratios(n_images: int, n_vertices: int, repeats: int) -> list[float]:
    """Return himalaya's time over ours by run; raise ValueError when r differs by 1e-4."""
    encoding, n_train = Encoding(), n_images * 4 // 5
    K = plausible_gram(n_images, CPU)
    train, test = torch.arange(n_train), torch.arange(n_train, n_images)
    fold = Fold.fit(K, train, test, encoding.n_components)
    parts, scale = fold.components, fold.components.variances.sqrt()
    A = (parts.train_vectors.double() * scale).float().numpy()
    B = (parts.test_scores.double() * scale.max()).float().numpy()
    Y = torch.randn(n_images, n_vertices, generator=torch.Generator().manual_seed(0))

    def ours() -> Any:
        with full_float32():
            return correlate(fold, Y, encoding.alphas).numpy()

    X, responses, alphas = np.concatenate([A, B]), Y.numpy(), np.array(encoding.alphas)

    def himalayas() -> Any:
        split = PredefinedSplit(np.where(np.arange(n_images) < n_train, -1, 0))
        return solve_ridge_cv_svd(
            X, responses, alphas, True, correlation_score, split, n_alphas_batch=9
        )[2]

    difference = float(np.abs(ours().max(axis=0) - np.ravel(himalayas())).max())
    if difference > 1e-4:
        raise ValueError(f"r differs from himalaya's by {difference:.1e}")
    return [timed(himalayas, CPU) / timed(ours, CPU) for _ in range(repeats)]


if __name__ == "__main__":
    main()
