"""The operations that dominate the time of encoding, by the fastest exact library per device.

On a CPU this is OpenBLAS, through NumPy and SciPy: MKL, which torch uses, does not run its fastest
code on processors of other makers (measurements: docs/method-encoding.md). On a GPU it is torch.
"""

from typing import Final

import numpy as np
import torch
from scipy.linalg import blas, eigh
from torch import Tensor

BLOCKS: Final = 8
"""Row blocks of a Gram matrix on a GPU; the lower triangle of blocks is 56 % of the matrix."""
INDEPENDENT: Final = 1e-3
"""Distance of a column of unit norm from the span of those before it, from which on the rounding of
their products does not matter in float32."""


def add_gram(K: Tensor, X: Tensor) -> None:
    """Add X Xᵀ to the lower triangle of K, in place; the upper triangle is undefined.

    K: (n, n), contiguous. X: (n, m), contiguous. Both float64.
    """
    if K.is_cuda:
        size = -(-len(X) // BLOCKS)
        for start in range(0, len(X), size):
            stop = min(start + size, len(X))
            K[start:stop, :stop].addmm_(X[start:stop], X[:stop].T)
        return
    # Fortran sees the row-major K transposed: its upper triangle is the lower one here.
    blas.dsyrk(1.0, X.numpy().T, beta=1.0, c=K.numpy().T, trans=1, lower=0, overwrite_c=1)


def fill_upper(K: Tensor) -> Tensor:
    """Fill the upper triangle of a square matrix from its lower one, in place; return it.

    One more matrix of its size is in memory meanwhile, where a sum of two triangles takes three.
    """
    return K.tril_().add_(K.tril(-1).T)


def decompose(K: Tensor) -> tuple[Tensor, Tensor]:
    """Decompose a symmetric (n, n) matrix, in place if possible: K = V diag(w) Vᵀ, w ascending."""
    if K.is_cuda:
        values, vectors = torch.linalg.eigh(K)
        return values, vectors
    found = eigh(K.numpy().T, driver="evd", overwrite_a=True, check_finite=False)
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])


def largest_of(K: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Compute the k largest eigenvalues, ascending, and eigenvectors of a symmetric matrix.

    K: (n, n); only its lower triangle is read. Returns (k,) and (n, k).
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


def triangle_of(S: Tensor) -> Tensor:
    """Compute upper triangular R with Rᵀ R = Sᵀ S: (n, k) float64 -> (k, k).

    It is the Cholesky factor of Sᵀ S, of columns scaled to unit norm; where these are nearly
    dependent, R of a QR decomposition, which loses fewer digits.
    """
    norms = torch.linalg.vector_norm(S, dim=0)
    unit = S / torch.where(norms > 0, norms, 1.0)
    products = S.new_zeros(S.shape[1], S.shape[1])
    add_gram(products, unit.T.contiguous())
    L, info = torch.linalg.cholesky_ex(products)
    is_well_conditioned = bool((info == 0) & (L.diagonal().amin() > INDEPENDENT))
    R: Tensor = L.T * norms if is_well_conditioned else torch.linalg.qr(S, mode="r").R
    return R


def multiply(A: Tensor, B: Tensor) -> Tensor:
    """Multiply matrices: (n, k), (k, m) -> (n, m)."""
    return A @ B if A.is_cuda else torch.from_numpy(np.matmul(A.numpy(), B.numpy()))


def scale_rows(A: Tensor, weights: Tensor) -> Tensor:
    """Multiply each row by its weight: (n, m), (n,) -> (n, m).

    On a CPU, NumPy does this in one thread: torch's threads would slow down the next product.
    """
    if A.is_cuda:
        return weights[:, None] * A
    return torch.from_numpy(np.multiply(A.numpy(), weights.numpy()[:, None]))


def upper_product(R: Tensor, B: Tensor) -> Tensor:
    """Multiply by an upper triangular matrix: (k, k), (k, m) -> (k, m), both float32.

    On a CPU this takes half the operations of a full product, and overwrites B.
    """
    if R.is_cuda:
        return R @ B
    # Fortran sees row-major matrices transposed: this is Bᵀ Rᵀ to it.
    product = blas.strmm(1.0, R.numpy().T, B.numpy().T, side=1, lower=1, overwrite_b=1)
    return torch.from_numpy(product.T)


def column_products(A: Tensor, B: Tensor) -> Tensor:
    """Compute inner products of columns, in one pass: (…, n, v), (…, n, v) -> (…, v)."""
    if A.is_cuda:
        return (A * B).sum(dim=-2)
    return torch.from_numpy(np.einsum("...nv,...nv->...v", A.numpy(), B.numpy()))
