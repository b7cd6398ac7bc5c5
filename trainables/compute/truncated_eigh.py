"""The largest eigenvalues of a symmetric matrix and their vectors, as PCA wants them.

Where a few of many are wanted, block Lanczos finds in float32 the space that they span, and what
is within it is solved in float64 (Rayleigh and Ritz). The residual of every vector tells whether
that was enough; if not, Lanczos too is in float64. Where they are too many for it, all are found.
"""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from trainables.compute.linear_algebra import decompose, largest_of, multiply, orthonormal
from trainables.compute.precision import FAST, Numerics

TRUNCATED_ROWS: Final = 3000
"""Rows from which some components may be found sooner than all of them."""
SPARE: Final = 64
"""Components found beside those asked for: what float32 mixes up at the cut is theirs."""
RESIDUAL: Final = 1e-2
"""Largest |K v − w v| / w of a component found by truncation; beyond it rounding has spoilt it."""
ENOUGH: Final = 2e-3
"""The same where Lanczos ends: what is left is nearly all rounding then."""
BLOCK: Final = 128
"""Vectors that are multiplied at once."""
FIRST_LOOK: Final = 2.6
"""Dimensions a component before residuals are looked at for the first time."""
LAST_LOOK: Final = 0.5
"""Dimensions a row beyond which all components would be found as soon."""
GROWTH: Final = 1.2
"""Dimensions of a look, in those of the one before."""


def leading_components(K: Tensor, k: int, numerics: Numerics = FAST) -> tuple[Tensor, Tensor]:
    """Find the k largest eigenvalues of a symmetric matrix and their vectors: K V = V diag(w).

    K: (n, n) float64; it may be overwritten. Returns w, (k,), descending, and V, (n, k), in K's
    precision.
    """
    found = _truncated(K, k) if is_truncated(len(K), k, numerics) else None
    values, vectors = found or decompose(K)
    return values.flip(0)[:k], vectors.flip(1)[:, :k]


def is_truncated(n: int, k: int, numerics: Numerics) -> bool:
    """Tell whether k components of n rows are looked for without the others."""
    first_look = FIRST_LOOK * (k + SPARE) + BLOCK
    return not numerics.deterministic and n >= TRUNCATED_ROWS and first_look <= LAST_LOOK * n


def _truncated(K: Tensor, k: int) -> tuple[Tensor, Tensor] | None:
    """Find the k largest components, ascending; in float64 throughout where float32 is not enough.

    None where they are too many of the dimensions that the matrix has, or that it needs.
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
    """Solve for the k largest within a span, ascending; None where a residual is too large."""
    KV = multiply(K, V)
    L = torch.linalg.cholesky(multiply(V.T, V))
    half = torch.linalg.solve_triangular(L, multiply(V.T, KV), upper=False)
    values, turn = decompose(torch.linalg.solve_triangular(L, half.T, upper=False))
    values, turn = values[-k:], torch.linalg.solve_triangular(L.T, turn[:, -k:], upper=True)
    vectors = multiply(V, turn)
    left = torch.linalg.vector_norm(multiply(KV, turn) - vectors * values, dim=0)
    return (values, vectors) if bool((left <= RESIDUAL * values).all()) else None


def dominant_vectors(K: Tensor, k: int, residual: float) -> Tensor | None:
    """Find orthonormal vectors that span the k dominant eigenvectors of a symmetric matrix.

    Block Lanczos from a fixed random start, every block orthogonalised to all before it (Golub and
    Van Loan, Matrix Computations, 10.3). K: (n, n), of either precision. Returns (n, k + SPARE),
    by ascending eigenvalue; None where a residual |K v − w v| / w of the k is above the bound
    still when the vectors are too many to save time.
    """
    n = len(K)
    most, look = int(LAST_LOOK * n), FIRST_LOOK * (k + SPARE)
    basis = K.new_empty(most + 2 * BLOCK, n)  # in rows; of the system's memory, what is written
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
