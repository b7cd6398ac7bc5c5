"""The operations that encoding spends its time in, by the fastest exact library for the device.

On a CPU that is OpenBLAS, through NumPy and SciPy: MKL, which torch brings, keeps its best code
from other makers' processors (docs/method-encoding.md has the figures). On a GPU it is torch.
"""

from typing import Any, Final

import numpy as np
import torch
from scipy.linalg import LinAlgError, blas, eigh
from threadpoolctl import threadpool_limits
from torch import Tensor

PARTIAL_ROWS: Final = 3000
"""Rows from which a CPU finds the largest components sooner than all of them."""
SPARE: Final = 64
"""Components found beside those asked for: what float32 mixes up at the cut is theirs."""
RESIDUAL: Final = 1e-2
"""Largest |K v − w v| / w of a component found in part; beyond it all are found, in float64."""
BLOCKS: Final = 8
"""Row blocks of a Gram matrix on a GPU: the lower triangle of blocks is 56 % of it."""


Matrix = np.ndarray[Any, np.dtype[Any]]


def use_threads(n_threads: int) -> None:
    """Have torch and every BLAS of this process compute with n_threads on the CPU."""
    torch.set_num_threads(n_threads)
    threadpool_limits(n_threads, user_api="blas")


def add_gram(K: Tensor, X: Tensor) -> None:
    """Add X Xᵀ to the lower triangle of K, in place; what lies above it means nothing.

    K: (n, n), contiguous. X: (n, m), contiguous. Both float64.
    """
    if K.is_cuda:
        size = -(-len(X) // BLOCKS)
        for start in range(0, len(X), size):
            stop = min(start + size, len(X))
            K[start:stop, :stop].addmm_(X[start:stop], X[:stop].T)
        return
    # Rows here are columns to Fortran, so this lower triangle is its upper one.
    blas.dsyrk(1.0, X.numpy().T, beta=1.0, c=K.numpy().T, trans=1, lower=0, overwrite_c=1)


def leading_components(K: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k largest eigenvalues of a symmetric matrix and their vectors: K V = V diag(w).

    K: (n, n) float64; it may be overwritten. Returns w, (k,), descending, and V, (n, k), in K's
    precision. A large matrix on a CPU is reduced in float32 for the space that the vectors span,
    and solved in float64 within it (Rayleigh and Ritz), unless what that leaves is too much.
    """
    if K.is_cuda:
        values, vectors = torch.linalg.eigh(K)
    else:
        found = _within_span(K.numpy(), k) if _is_partial(len(K), k) else None
        values, vectors = map(torch.from_numpy, found or all_components(K.numpy()))
    return values.flip(0)[:k], vectors.flip(1)[:, :k]


def _is_partial(n: int, k: int) -> bool:
    return n >= PARTIAL_ROWS and 3 * (k + SPARE) <= n


def all_components(K: Matrix) -> tuple[Matrix, Matrix]:
    """Decompose a symmetric matrix, which is overwritten: K = V diag(w) Vᵀ, w ascending."""
    values, vectors = eigh(K.T, driver="evd", overwrite_a=True, check_finite=False)
    return values, vectors


def _within_span(K: Matrix, k: int) -> tuple[Matrix, Matrix] | None:
    """Find the largest components from a float32 reduction; None where it is not enough."""
    n = len(K)
    single = K.astype(np.float32).T
    subset = (n - k - SPARE, n - 1)
    try:
        _, found = eigh(
            single, driver="evr", subset_by_index=subset, overwrite_a=True, check_finite=False
        )
        V = found.astype(np.float64)
        KV = K @ V
        values, turn = eigh(V.T @ KV, V.T @ V, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    values, turn = values[SPARE:], turn[:, SPARE:]
    vectors = V @ turn
    left = np.linalg.norm(KV @ turn - vectors * values, axis=0)
    return (values, vectors) if bool((left <= RESIDUAL * values).all()) else None


def multiply(A: Tensor, B: Tensor) -> Tensor:
    """Multiply matrices: (n, k), (k, m) -> (n, m)."""
    return A @ B if A.is_cuda else torch.from_numpy(np.matmul(A.numpy(), B.numpy()))


def upper_product(R: Tensor, B: Tensor) -> Tensor:
    """Multiply by an upper triangular matrix: (k, k), (k, m) -> (k, m), both float32.

    On a CPU that is half the operations, and B is overwritten.
    """
    if R.is_cuda:
        return R @ B
    # Rows here are columns to Fortran, to which this is Bᵀ Rᵀ.
    product = blas.strmm(1.0, R.numpy().T, B.numpy().T, side=1, lower=1, overwrite_b=1)
    return torch.from_numpy(product.T)


def column_products(A: Tensor, B: Tensor) -> Tensor:
    """Multiply column by column: (…, n, v), (…, n, v) -> (…, v), one pass over both."""
    if A.is_cuda:
        return (A * B).sum(dim=-2)
    return torch.from_numpy(np.einsum("...nv,...nv->...v", A.numpy(), B.numpy()))
