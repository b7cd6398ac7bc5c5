"""Compare the linear algebra of torch with that of ``compute.linear_algebra`` on this CPU.

python -m benchmarks.linear_algebra [--threads 1]
python -m benchmarks.linear_algebra --threads 2 --components 3200,6691

Measured are the Gram matrix of 1,500 images, the factorisation of a fold, the predictions of all
alphas, and AlexNet's forward pass by batch size: the best of three runs, both alternately.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks.spectra import plausible_gram
from trainables.compute.device import use_threads
from trainables.compute.linear_algebra import add_gram, decompose, multiply
from trainables.compute.numerics import FAST, Numerics
from trainables.compute.truncated_eigh import leading_components
from trainables.encoding.features import Storage, extract
from trainables.encoding.ridge import score_fold
from trainables.models.backbones import build
from trainables.spec import ALEXNET_LAYERS, Encoding

ALPHAS: Final = Encoding().alphas
DETERMINISTIC: Final = Numerics(deterministic=True)


def main() -> None:
    """Measure each operation with both libraries, then the features."""
    parser = argparse.ArgumentParser(description="Libraries for encoding on this CPU.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--components", metavar="ROWS", help="compare only 1,000 with all components of ROWS rows"
    )
    options = parser.parse_args()
    use_threads(options.threads)
    if options.components:
        for n in map(int, options.components.split(",")):
            compare_components(n)
        return
    X = torch.randn(1500, 10_000, dtype=torch.float64)
    K = torch.zeros(1500, 1500, dtype=torch.float64)
    compare("Gram matrix, 1,500 x 10,000 float64", lambda: X @ X.T, lambda: add_gram(K, X))
    for n in (1020, 1275):
        fold = X[:n, : 3 * n] @ X[:n, : 3 * n].T
        compare(
            f"eigendecomposition, n = {n:,}, float64",
            lambda fold=fold: torch.linalg.eigh(fold),  # type: ignore[misc]
            lambda fold=fold, n=n: leading_components(fold.clone(), n),  # type: ignore[misc]
        )
    A, B = torch.randn(2295, 1020), torch.randn(1020, 7059)
    compare("predictions, 2,295 x 1,020 by 1,020 x 7,059", lambda: A @ B, lambda: multiply(A, B))
    network = build("alexnet")
    images = torch.randint(0, 256, (256, 3, 224, 224), dtype=torch.uint8)
    for size in (32, 64, 128):
        seconds = best_of_three(lambda size=size: pass_through(network, images, size))  # type: ignore[misc]
        print(f"AlexNet, batches of {size}: {len(images) / seconds:.0f} images/s")


def compare_components(n: int, k: int = 1000) -> None:
    """Print the times of all components in float64, and of the k largest as in encoding."""
    K = plausible_gram(n, torch.device("cpu"))
    whole = best_of_three(lambda: decompose(K.clone()))
    part = best_of_three(lambda: leading_components(K.clone(), k))
    print(
        f"{n:,} rows: all {whole:.1f} s, {k:,} {part:.1f} s, {whole / part:.2f} times; "
        f"largest difference in r {largest_difference(n, k):.1e}",
        flush=True,
    )


def largest_difference(n: int, k: int, n_vertices: int = 200) -> float:
    """Compare r of n training rows by k components of block Lanczos and of all components."""
    K = plausible_gram(n + n // 5, torch.device("cpu"))
    rows = torch.arange(n), torch.arange(n, len(K))
    generator = torch.Generator().manual_seed(1)
    signal = K.float() @ torch.randn(len(K), n_vertices, generator=generator)
    Y = signal / signal.std(dim=0) + torch.randn(signal.shape, generator=generator)
    part, whole = (
        score_fold(K.clone(), rows, Y, ALPHAS, k, numerics) for numerics in (FAST, DETERMINISTIC)
    )
    return float((part - whole).abs().max())


def compare(what: str, torchs: Callable[[], Any], ours: Callable[[], Any]) -> None:
    """Print the times of both, and their ratio."""
    a, b = best_of_three(torchs), best_of_three(ours)
    print(f"{what}: torch {a * 1e3:.0f} ms, ours {b * 1e3:.0f} ms, {a / b:.2f} times")


def best_of_three(run: Callable[[], Any]) -> float:
    """Return the shortest of three runs, in seconds."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def pass_through(network: torch.nn.Module, images: Tensor, size: int) -> None:
    """Extract every layer in batches of the given size, and discard the features."""
    storage = Storage(torch.device("cpu"), 2**34, Path())
    extract(network, ALEXNET_LAYERS, torch.split(images, size), len(images), storage).close()


if __name__ == "__main__":
    main()
