"""The largest eigenpairs of a symmetric matrix on a GPU, by filtered subspace iteration.

A fold starts from the eigenvectors of all training images, restricted to its rows, which nearly
span its own; all training images start from a rough start, made of random vectors. Vectors are
filtered by Chebyshev polynomials, first in TF32 and then in float32, with the dominant directions
locked and deflated, and the problem within their span is solved in float64 (Zhou, Saad, Tiago and
Chelikowsky, 2006, Self-consistent-field calculations using Chebyshev-filtered subspace iteration).
A residual that is too large means None: components are then found by Lanczos
(`truncated_eigh.py`).

A GPU multiplies matrices so fast that Lanczos waits for its many small steps there; on a CPU
Lanczos needs fewer operations.
"""

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import pad

from trainables.compute.device import has_tf32
from trainables.compute.precision import tf32_products

OVERSAMPLING: Final = 1.2
"""Ratio of iterated vectors to wanted components."""
RANDOM: Final = 8
"""Fewest random vectors among those iterated: they find directions that the start lacks."""
ALIGNED: Final = 16
"""Rows and columns of products are padded to multiples of it: others were slower in TF32."""
LOCKED: Final = 30.0
"""Eigenvalues above this multiple of the filter's bound are locked before it is applied."""
DEGREE: Final = 4
"""Degree of the Chebyshev polynomial between two orthonormalisations."""
TF32, FLOAT32 = 2, 2
"""Polynomials of a round with products in TF32, and then in float32: one of the latter divides the
error that TF32 leaves by 10 or more."""
LEADING: Final = 1.5, 32
"""Vectors among which the directions to lock are found: a ratio to those expected, and more."""
ROUNDS: Final = 2
"""Rounds of filtering, after each of which residuals are checked."""
RESIDUAL: Final = 4e-4
"""Largest accepted residual |A v − w v| / w of a component, times the squared relative gap between
the last component and the last vector that is not random: in all spectra that were tested, r then
differs by at most 2e-6. (Of equal eigenvalues at the last component, any solver takes some.)"""
WIDE: Final = 0.1
"""Squared gap from which on a wider one accepts no larger residual."""


@dataclass(frozen=True)
class Start:
    """The largest eigenpairs of the whole matrix, or estimates of them."""

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


@dataclass(frozen=True)
class RoughStart:
    """Nothing is known of the eigenpairs; more are computed than are checked."""

    n_checked: int
    """Components whose residuals are checked; those beyond them are estimates."""

    def of_rows(self, rows: Tensor) -> "RoughStart":
        """Return itself: it has no rows."""
        return self


AnyStart = Start | RoughStart
"""What subspace iteration starts from."""


def block_size(k: int) -> int:
    """Return the number of eigenpairs of the whole matrix to start from for k components."""
    return int(OVERSAMPLING * k)


def warm_components(A: Tensor, start: AnyStart, k: int) -> tuple[Tensor, Tensor] | None:
    """Compute the k largest eigenpairs of a symmetric positive semidefinite matrix.

    A: (n, n) float64. start: of the same rows, with more than k vectors; a rough one has none.
    Returns values, (k,), descending, and vectors, (n, k), both float64; None if a residual remains
    too large.
    """
    n = len(A)
    A = pad(A, (0, -n % ALIGNED, 0, -n % ALIGNED))
    try:
        if isinstance(start, RoughStart):
            found = _iterate(A, _estimate(A, n, k), k, start.n_checked)
        else:
            found = _iterate(A, start, k, k)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        return None
    return None if found is None else (found[0], found[1][:n])


def _iterate(A: Tensor, start: Start, k: int, n_checked: int) -> tuple[Tensor, Tensor] | None:
    """Filter until the residuals of the first n_checked components are small; return k of them."""
    bound = start.bound
    ratio, more = LEADING
    n_leading = more + int(ratio * int((start.values > LOCKED * start.values[-1]).sum()))
    vectors = pad(_with_noise(start.vectors), (0, 0, 0, len(A) - len(start.vectors)))
    basis = _multiply_twice(A, vectors)
    for _ in range(ROUNDS):
        basis = _filtered(A, basis, bound, n_leading)
        images = A @ basis
        values, turn = _rayleigh_ritz(basis, images)
        vectors, left = basis @ turn[:, :k], images @ turn[:, :n_checked]
        gap = 1 - values[len(start.values) - 1] / values[n_checked - 1]
        left -= vectors[:, :n_checked] * values[:n_checked]
        accepted = RESIDUAL * (gap**2).clamp(max=WIDE) * values[:n_checked]
        if bool((torch.linalg.vector_norm(left, dim=0) <= accepted).all()):
            return values[:k], vectors
        basis = orthonormalise(images, 1)
    return None


def _estimate(A: Tensor, n: int, m: int) -> Start:
    """Estimate the m largest eigenpairs of a padded matrix of n rows, from random vectors.

    The values are Rayleigh quotients.
    """
    basis = _multiply_twice(A, pad(_random(n, m, 0, A.device), (0, 0, 0, len(A) - n)))
    values, turn = _rayleigh_ritz(basis, A @ basis)
    bound = float(values[-1])
    n_locked = int((values > LOCKED * bound).sum())
    basis = _filter_unlocked(A, basis @ turn, n_locked, bound, (TF32, 0))
    values = (basis * (A @ basis)).sum(dim=0)
    return Start(values.sort(descending=True).values, basis[:n].float(), n)


def _multiply_twice(A: Tensor, V: Tensor) -> Tensor:
    """Apply two steps of subspace iteration: (n, m) float32 -> (n, m) float64, orthonormal."""
    parts = _parts(A.float())
    for _ in range(2):
        V = orthonormalise(_multiply(parts, V.float()), 1)
    return V


def _random(n: int, m: int, seed: int, device: torch.device) -> Tensor:
    """Draw random numbers, (n, m) float32, the same on every device.

    Each column is one sequence, shifted by the column's number, in a random order of rows: as good
    a start as independent numbers, of far fewer. In the order of rows, shifts of a sequence would
    hardly overlap with eigenvectors that vary slowly over the rows, as those of a movie's frames.
    """
    drawn = torch.randn(2 * n + m - 1, generator=torch.Generator().manual_seed(seed)).to(device)
    order, numbers = drawn[:n].argsort(), drawn[n:]
    return numbers[order[:, None] + torch.arange(m, device=device)]


def _with_noise(vectors: Tensor) -> Tensor:
    """Add at least RANDOM random vectors of unit length, up to an aligned number."""
    n, m = vectors.shape
    noise = _random(n, RANDOM + -(m + RANDOM) % ALIGNED, 1, vectors.device)
    return torch.cat([vectors, noise.to(vectors) * n**-0.5], dim=1)


def _filtered(A: Tensor, basis: Tensor, bound: float, n_leading: int) -> Tensor:
    """Filter an orthonormal basis but for its dominant directions; (n, m) float64.

    n_leading: vectors at its start, which the dominant directions are found among.
    """
    leading, rest = basis[:, :n_leading], basis[:, n_leading:]
    values, turn = _rayleigh_ritz(leading, A @ leading)
    basis = torch.cat([leading @ turn, rest], dim=1)
    n_locked = int((values > LOCKED * bound).sum())
    return _filter_unlocked(A, basis, n_locked, bound, (TF32, FLOAT32))


def _filter_unlocked(
    A: Tensor, basis: Tensor, n_locked: int, bound: float, numbers: tuple[int, int]
) -> Tensor:
    """Filter an orthonormal basis but for its first vectors; (n, m) float64.

    numbers: of Chebyshev polynomials in TF32, and in float32.
    """
    locked, V = basis[:, :n_locked], basis[:, n_locked:].float()
    deflated = _deflate(A, locked).float()
    more = -V.shape[1] % ALIGNED
    in_tf32, in_float32 = numbers
    precise = _parts(deflated) if in_float32 else ()
    for times, parts in ((in_tf32, (deflated,)), (in_float32, precise)):
        for _ in range(times):
            V = orthonormalise(_chebyshev(parts, pad(V, (0, more)), bound)[:, : V.shape[1]], 1)
            V = V.float()
    return orthonormalise(torch.cat([locked, V.double()], dim=1))


def orthonormalise(V: Tensor, n_steps: int = 2) -> Tensor:
    """Orthonormalise columns by Cholesky QR in float64: (n, m) -> (n, m) float64.

    n_steps: two make it exact to rounding; one is enough between products, where only nearly
    dependent columns matter. Raises LinAlgError if they are linearly dependent.
    """
    V = V.double()
    unit = torch.eye(V.shape[1], dtype=V.dtype, device=V.device)
    for _ in range(n_steps):
        V = V / torch.linalg.vector_norm(V, dim=0)
        G = V.T @ V
        G.diagonal().add_(1e-12)
        inverse = torch.linalg.solve_triangular(torch.linalg.cholesky(G), unit, upper=False)
        V = V @ inverse.T
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
    deflated = torch.addmm(A, images, locked.T, alpha=-1)
    deflated.addmm_(locked, images.T, alpha=-1)
    return deflated.addmm_(locked @ (locked.T @ images), locked.T)


def _chebyshev(parts: tuple[Tensor, ...], V: Tensor, bound: float) -> Tensor:
    """Apply a Chebyshev polynomial that is small on eigenvalues between 0 and bound.

    parts: of the matrix; see :func:`_multiply`.
    """
    half = bound / 2
    before, now = V, _multiply(parts, V) / half - V
    for _ in range(DEGREE - 1):
        following = _multiply(parts, now).mul_(2 / half)
        before, now = now, following.sub_(now, alpha=2).sub_(before)
    return now


def _parts(A: Tensor) -> tuple[Tensor, ...]:
    """Cut a float32 matrix into what TF32 holds and the rest, on a GPU that multiplies by it."""
    if not has_tf32(A.device):
        return (A,)
    high = _rounded(A)
    return high, A - high


def _rounded(A: Tensor) -> Tensor:
    """Round float32 to the 10 bits of mantissa that TF32 keeps."""
    return ((A.view(torch.int32) + 0x1000) & -0x2000).view(torch.float32)


def _multiply(parts: tuple[Tensor, ...], V: Tensor) -> Tensor:
    """Multiply in TF32 by a float32 matrix; by one of two parts, as exactly as float32 does."""
    with tf32_products():
        if len(parts) == 1:
            return parts[0] @ V
        high, low = parts
        V_high = _rounded(V)
        return (high @ (V - V_high)).addmm_(low, V_high).addmm_(high, V_high)
