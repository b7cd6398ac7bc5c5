"""The operations that encoding spends its time in, by the fastest exact library for the device.

On a CPU that is OpenBLAS, through NumPy and SciPy: MKL, which torch brings, keeps its best code
from other makers' processors (docs/method-encoding.md has the figures). On a GPU it is torch.
"""

from typing import Final

import numpy as np
import torch
from scipy.linalg import blas, eigh
from torch import Tensor

BLOCKS: Final = 8
"""Row blocks of a Gram matrix on a GPU: the lower triangle of blocks is 56 % of it."""


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


def decompose(K: Tensor) -> tuple[Tensor, Tensor]:
    """Decompose a symmetric matrix, which may be overwritten: K = V diag(w) Vᵀ, w ascending."""
    if K.is_cuda:
        values, vectors = torch.linalg.eigh(K)
        return values, vectors
    found = eigh(K.numpy().T, driver="evd", overwrite_a=True, check_finite=False)
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])


def largest_of(K: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k largest eigenvalues, ascending, and vectors of a symmetric matrix.

    Its lower triangle is looked at.
    """
    if K.is_cuda:
        values, vectors = torch.linalg.eigh(K)
        return values[-k:], vectors[:, -k:]
    subset = (len(K) - k, len(K) - 1)
    found = eigh(K.numpy(), driver="evr", subset_by_index=subset, check_finite=False)
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])


def orthonormal(A: Tensor) -> tuple[Tensor, Tensor]:
    """Decompose a tall matrix, A = Q R: (n, k) -> (n, k), (k, k)."""
    Q, R = torch.linalg.qr(A) if A.is_cuda else map(torch.from_numpy, np.linalg.qr(A.numpy()))
    return Q, R


def multiply(A: Tensor, B: Tensor) -> Tensor:
    """Multiply matrices: (n, k), (k, m) -> (n, m)."""
    return A @ B if A.is_cuda else torch.from_numpy(np.matmul(A.numpy(), B.numpy()))


def scale_rows(A: Tensor, weights: Tensor) -> Tensor:
    """Multiply each row by its weight: (n, m), (n,) -> (n, m).

    On a CPU by NumPy's one thread: torch's would hold up those of the next product.
    """
    if A.is_cuda:
        return weights[:, None] * A
    return torch.from_numpy(np.multiply(A.numpy(), weights.numpy()[:, None]))


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
