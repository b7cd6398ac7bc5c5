"""Chebyshev-filtered subspace iteration for a fold, started from the components of all images.

The eigenvectors of the whole training set, restricted to a fold's rows, nearly span the fold's own.
A Chebyshev filter in float32 amplifies the wanted eigenvalues, dominant directions are locked and
deflated, and a Rayleigh-Ritz step in float64 extracts the components (Zhou, Saad, Tiago and
Chelikowsky, 2006, "Self-consistent-field calculations using Chebyshev-filtered subspace
iteration").
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

OVERSAMPLING: Final = 1.15
"""Ratio of iterated vectors to wanted components."""
LOCKED: Final = 30.0
"""Eigenvalues above this multiple of the filter's bound are locked before it is applied."""
DEGREES: Final = (3, 3, 3)
"""Degrees of the Chebyshev polynomials between orthonormalisations."""


@dataclass(frozen=True)
class Components:
    """The largest eigenvalues of a symmetric matrix, descending, with their residual."""

    values: Tensor
    """(k,) float64."""
    vectors: Tensor
    """(n, k) float64."""
    residual: float
    """The largest |A v - w v| / w."""
    n_locked: int


def block_size(k: int) -> int:
    """Return the number of vectors to iterate on for k components."""
    return int(OVERSAMPLING * k) + 8


def warm_components(A: Tensor, warm: Tensor, bound: float, k: int) -> Components:
    """Find the k largest eigenpairs of a symmetric positive semidefinite matrix.

    A: (n, n) float64. warm: (n, m) start vectors that nearly span them, m > k. bound: upper bound
    of the unwanted eigenvalues. Raises torch.linalg.LinAlgError when the filtered vectors are not
    linearly independent.
    """
    A32 = A.float()
    basis = orthonormalise(A32 @ warm.float())
    basis = orthonormalise(A32 @ basis.float())
    values, turn = rayleigh_ritz(A, basis)
    basis = basis @ turn
    n_locked = int((values > LOCKED * bound).sum())
    locked, rest = basis[:, :n_locked], basis[:, n_locked:].float()
    deflated = _deflate(A, locked).float()
    for degree in DEGREES:
        rest = orthonormalise(_filter(deflated, rest, degree, bound)).float()
    basis = orthonormalise(torch.cat([locked, rest.double()], dim=1))
    values, turn = rayleigh_ritz(A, basis)
    vectors, values = basis @ turn[:, :k], values[:k]
    left = torch.linalg.vector_norm(A @ vectors - vectors * values, dim=0)
    return Components(values, vectors, float((left / values).max()), n_locked)


def orthonormalise(V: Tensor) -> Tensor:
    """Orthonormalise columns by two Cholesky QR steps in float64: (n, m) -> (n, m) float64."""
    V = V.double()
    for _ in range(2):
        V = V / torch.linalg.vector_norm(V, dim=0)
        G = V.T @ V
        G.diagonal().add_(1e-12)
        V = torch.linalg.solve_triangular(torch.linalg.cholesky(G), V.T, upper=False).T
    return V


def rayleigh_ritz(A: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Solve within an orthonormal basis: eigenvalues, descending, and coordinates of vectors."""
    H = basis.T @ (A @ basis)
    values, vectors = torch.linalg.eigh((H + H.T) / 2)
    return values.flip(0), vectors.flip(1)


def _deflate(A: Tensor, locked: Tensor) -> Tensor:
    """Project the locked directions out of a matrix: (n, n), (n, p) -> (n, n)."""
    images = A @ locked
    deflated = A - images @ locked.T
    deflated -= locked @ images.T
    return deflated.addmm_(locked @ (locked.T @ images), locked.T)


def _filter(A: Tensor, V: Tensor, degree: int, bound: float) -> Tensor:
    """Apply a Chebyshev polynomial that is small on eigenvalues between 0 and bound."""
    half = bound / 2
    before, now = V, (A @ V - half * V) / half
    for _ in range(degree - 1):
        before, now = now, torch.addmm(-before - 2 * now, A, now, alpha=2 / half)
    return now
