"""The largest eigenvalues of a symmetric matrix and their eigenvectors, for PCA.

On a GPU, fits that have a start are found by subspace iteration instead (`warm_subspace.py`).
For few components of many, block Lanczos finds the subspace that they span in float32, and the
problem within it is solved in float64 (Rayleigh-Ritz). If the residual of a vector is too large,
Lanczos is repeated in float64. For too many components, a full eigendecomposition is computed.
"""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from trainables.compute.linear_algebra import decompose, largest_of, multiply, orthonormal
from trainables.compute.numerics import (
    BLOCK,
    FAST,
    FIRST_LOOK,
    LAST_LOOK,
    SPARE,
    Numerics,
    is_truncated,
)
from trainables.compute.warm_subspace import AnyStart, warm_components

RESIDUAL: Final = 1e-2
"""Largest accepted residual |K v − w v| / w of a component; a larger one is due to rounding."""
ENOUGH: Final = 2e-3
"""Residual at which Lanczos stops: what remains is nearly all rounding."""
GROWTH: Final = 1.2
"""Factor by which the subspace grows between checks of residuals."""


def leading_components(
    K: Tensor, k: int, numerics: Numerics = FAST, start: AnyStart | None = None
) -> tuple[Tensor, Tensor]:
    """Compute the k largest eigenvalues and eigenvectors of a symmetric matrix: K V = V diag(w).

    K: (n, n) float64; it may be overwritten. start: of subspace iteration, by K's rows; None: none.
    Returns w, (k,), descending, and V, (n, k), both float64.
    """
    if start is not None and (warm := warm_components(K, start, k)) is not None:
        return warm
    found = _truncated(K, k) if is_truncated(len(K), k, numerics) else None
    values, vectors = found or decompose(K)
    return values.flip(0)[:k], vectors.flip(1)[:, :k]


def _truncated(K: Tensor, k: int) -> tuple[Tensor, Tensor] | None:
    """Compute the k largest components, ascending; all in float64 if float32 is not enough.

    Return None if truncation would not be faster than a full eigendecomposition.
    """
    try:
        for rounded in (K.float(), K):
            span = dominant_vectors(rounded, k, ENOUGH)
            found = None if span is None else _within(K, span.double(), k)
            if span is None or found is not None:
                return found
        return None
    except (np.linalg.LinAlgError, torch.linalg.LinAlgError):  # type: ignore[attr-defined]
        return None


def _within(K: Tensor, V: Tensor, k: int) -> tuple[Tensor, Tensor] | None:
    """Solve for the k largest within V's span, ascending; None if a residual is too large."""
    KV = multiply(K, V)
    L = torch.linalg.cholesky(multiply(V.T, V))
    half = torch.linalg.solve_triangular(L, multiply(V.T, KV), upper=False)
    values, turn = decompose(torch.linalg.solve_triangular(L, half.T, upper=False))
    values, turn = values[-k:], torch.linalg.solve_triangular(L.T, turn[:, -k:], upper=True)
    vectors = multiply(V, turn)
    left = torch.linalg.vector_norm(multiply(KV, turn) - vectors * values, dim=0)
    return (values, vectors) if bool((left <= RESIDUAL * values).all()) else None


def dominant_vectors(K: Tensor, k: int, residual: float) -> Tensor | None:
    """Compute orthonormal vectors that span the k dominant eigenvectors of a symmetric matrix.

    Block Lanczos from a fixed random start, with every block orthogonalised to all earlier ones
    (Golub and Van Loan, Matrix Computations, 10.3). K: (n, n), float32 or float64. Returns
    (n, k + SPARE), by ascending eigenvalue; None if a residual |K v − w v| / w of the k is still
    above the bound when the subspace is too large to save time.
    """
    n = len(K)
    most, look = int(LAST_LOOK * n), FIRST_LOOK * (k + SPARE)
    basis = K.new_empty(most + 2 * BLOCK, n)  # by rows; only written pages take memory
    inner = K.new_zeros(most + BLOCK, most + BLOCK)
    basis[:BLOCK] = orthonormal(_start(n).to(K))[0].T
    for size in range(0, most, BLOCK):
        stop = size + BLOCK
        known, images = basis[:stop], multiply(basis[size:stop], K)
        inner[size:stop, :stop] = multiply(images, known.T)
        images -= multiply(inner[size:stop, :stop], known)
        images -= multiply(multiply(images, known.T), known)
        following, rest = orthonormal(images.T)
        basis[stop : stop + BLOCK] = following.T
        if stop >= look:
            values, vectors = largest_of(inner[:stop, :stop], k + SPARE)
            left = torch.linalg.vector_norm(multiply(rest, vectors[-BLOCK:]), dim=0)
            if bool((left <= residual * values)[-k:].all()):
                return multiply(known.T, vectors)
            look *= GROWTH
    return None


def _start(n: int) -> Tensor:
    return torch.randn(n, BLOCK, generator=torch.Generator().manual_seed(0))
