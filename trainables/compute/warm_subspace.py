"""The largest eigenpairs of a part of a matrix, from those of the whole: for folds, on a GPU.

The eigenvectors of all training images, restricted to a fold's, nearly span the fold's own. They
are filtered by Chebyshev polynomials in float32, with the dominant directions locked and deflated,
and the problem within their span is solved in float64 (Zhou, Saad, Tiago and Chelikowsky, 2006,
Self-consistent-field calculations using Chebyshev-filtered subspace iteration). A residual that is
too large means None: components are then found without a start (`truncated_eigh.py`).

A GPU multiplies matrices so fast that Lanczos waits for its many small steps there; on a CPU
Lanczos needs fewer operations.
"""

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

OVERSAMPLING: Final = 1.15
"""Ratio of iterated vectors to wanted components."""
RANDOM: Final = 8
"""Random vectors among those iterated: they find directions that the start lacks."""
LOCKED: Final = 30.0
"""Eigenvalues above this multiple of the filter's bound are locked before it is applied."""
DEGREES: Final = (4, 4, 4, 4)
"""Degrees of the Chebyshev polynomials between orthonormalisations."""
ROUNDS: Final = 2
"""Rounds of filtering, after each of which residuals are checked."""
RESIDUAL: Final = 4e-4
"""Largest accepted residual |A v − w v| / w of a component, times the squared relative gap between
the last component and the last vector: r then differs by at most 2e-6."""
WIDE: Final = 0.1
"""Squared gap from which on a wider one accepts no larger residual."""


@dataclass(frozen=True)
class Start:
    """The largest eigenpairs of the whole matrix."""

    values: Tensor
    """(m,) float64, descending."""
    vectors: Tensor
    """(n, m) float32: rows of the whole matrix, or of the part that is decomposed."""
    n_whole: int
    """Rows of the whole matrix."""

    def of_rows(self, rows: Tensor) -> "Start":
        """Restrict the vectors to the rows of a part."""
        return replace(self, vectors=self.vectors[rows])

    @property
    def bound(self) -> float:
        """Estimate the largest unwanted eigenvalue of the part: they grow with its rows."""
        return float(self.values[-1]) * len(self.vectors) / self.n_whole


def block_size(k: int) -> int:
    """Return the number of eigenpairs of the whole matrix to start from for k components."""
    return int(OVERSAMPLING * k)


def warm_components(A: Tensor, start: Start, k: int) -> tuple[Tensor, Tensor] | None:
    """Compute the k largest eigenpairs of a symmetric positive semidefinite matrix.

    A: (n, n) float64. start: of the same rows, with more than k vectors. Returns values, (k,),
    descending, and vectors, (n, k), both float64; None if a residual remains too large.
    """
    A32, bound = A.float(), start.bound
    try:
        basis = orthonormalise(A32 @ _with_noise(start.vectors))
        images = A32 @ basis.float()
        for _ in range(ROUNDS):
            basis = _filtered(A, orthonormalise(images), bound)
            images = A @ basis
            values, turn = _rayleigh_ritz(basis, images)
            vectors, gap = basis @ turn[:, :k], 1 - values[-1] / values[k - 1]
            left = torch.linalg.vector_norm(images @ turn[:, :k] - vectors * values[:k], dim=0)
            accepted = RESIDUAL * (gap**2).clamp(max=WIDE) * values[:k]
            if bool((left <= accepted).all()):
                return values[:k], vectors
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        pass
    return None


def _with_noise(vectors: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(len(vectors), RANDOM, generator=generator).to(vectors)
    return torch.cat([vectors, noise * len(vectors) ** -0.5], dim=1)


def _filtered(A: Tensor, basis: Tensor, bound: float) -> Tensor:
    """Filter an orthonormal basis but for its dominant directions; (n, m) float64."""
    values, turn = _rayleigh_ritz(basis, A @ basis)
    basis = basis @ turn
    locked = basis[:, : int((values > LOCKED * bound).sum())]
    rest = basis[:, locked.shape[1] :].float()
    deflated = _deflate(A, locked).float()
    for degree in DEGREES:
        rest = orthonormalise(_chebyshev(deflated, rest, degree, bound)).float()
    return orthonormalise(torch.cat([locked, rest.double()], dim=1))


def orthonormalise(V: Tensor) -> Tensor:
    """Orthonormalise columns by two Cholesky QR steps in float64: (n, m) -> (n, m) float64.

    Raises LinAlgError if they are linearly dependent.
    """
    V = V.double()
    for _ in range(2):
        V = V / torch.linalg.vector_norm(V, dim=0)
        G = V.T @ V
        G.diagonal().add_(1e-12)
        V = torch.linalg.solve_triangular(torch.linalg.cholesky(G), V.T, upper=False).T
    return V


def _rayleigh_ritz(basis: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Solve within an orthonormal basis, of which the matrix's products are given.

    Returns eigenvalues, descending, and coordinates of eigenvectors.
    """
    H = basis.T @ images
    values, vectors = torch.linalg.eigh((H + H.T) / 2)
    return values.flip(0), vectors.flip(1)


def _deflate(A: Tensor, locked: Tensor) -> Tensor:
    """Project orthonormal directions out of a matrix: (n, n), (n, p) -> (n, n)."""
    images = A @ locked
    deflated = A - images @ locked.T
    deflated -= locked @ images.T
    return deflated.addmm_(locked @ (locked.T @ images), locked.T)


def _chebyshev(A: Tensor, V: Tensor, degree: int, bound: float) -> Tensor:
    """Apply a Chebyshev polynomial that is small on eigenvalues between 0 and bound."""
    half = bound / 2
    before, now = V, (A @ V - half * V) / half
    for _ in range(degree - 1):
        before, now = now, torch.addmm(-before - 2 * now, A, now, alpha=2 / half)
    return now
