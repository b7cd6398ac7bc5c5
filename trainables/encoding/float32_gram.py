"""Gram matrices on GPUs with slow float64: products in float32, with an estimate of their error.

Each chunk of features is multiplied in float32 and the products are summed in float64. The error E
of the matrix is estimated from random vectors z, E z = K z − Σ X (Xᵀ z), the sum in float64. A fit
whose components are too small beside E is refused, and the layer is then read again in float64.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from trainables.compute.device import has_slow_float64, to_device
from trainables.compute.linear_algebra import BLOCKS, fill_upper
from trainables.compute.numerics import Numerics
from trainables.compute.precision import full_float32

TOLERANCE: Final = 1e-3
"""Largest ‖E‖ (Frobenius) beside w_k + α; r then differs by about 1.5e-6 at most (2.1e-6 once)."""
N_VECTORS: Final = 16
"""Random vectors from which ‖E‖ is estimated."""
MARGIN: Final = 2.0
"""Factor on the estimate: it is too low in one of 1,000 cases where E has rank 1, else in fewer."""


class InexactGramError(ValueError):
    """A float32 Gram matrix is not accurate enough for the components of a fit."""


@dataclass(frozen=True)
class Float32Gram:
    """A Gram matrix of images, from products in float32."""

    K: Tensor
    """(n_images, n_images) float64."""
    error: float
    """Upper estimate of the Frobenius norm of K's error."""
    alpha: float
    """The smallest alpha that is fitted with it."""

    @property
    def device(self) -> torch.device:
        """Return the device of the matrix."""
        return self.K.device

    def check(self, variances: Tensor, weights: Tensor | None) -> None:
        """Check the error against a fit's components.

        variances: w, (k,), descending. weights: (n_train,), how often each row counts; None: once.
        Raises InexactGramError when w_k + α is not large enough beside the error.
        """
        smallest = float(variances[-1]) if len(variances) else 0.0
        error = self.error * (1.0 if weights is None else float(weights.max()))
        if not error < TOLERANCE * (smallest + self.alpha):
            raise InexactGramError(
                f"float32 Gram matrix: error {error:.1e} beside a component of {smallest:.1e} and "
                f"alpha {self.alpha:.1e}, expected at most {TOLERANCE:g} of their sum; read the "
                "layer in float64"
            )


def uses_float32(device: torch.device, numerics: Numerics) -> bool:
    """Return whether Gram matrices are first computed in float32."""
    return not numerics.deterministic and has_slow_float64(device)


def float32_gram(chunks: Iterable[Tensor], n_components: int, alpha: float) -> Float32Gram:
    """Compute the Gram matrix of images centred over all of them, and estimate its error.

    chunks: (n_images, n_columns) each, together all features of a layer. n_components: of each fit.
    alpha: the smallest that is fitted. Raises InexactGramError when no fit of so many components
    can accept the matrix, as w_k is at most trace / k, or values are not finite in float32.
    """
    K = vectors = products = None
    for chunk in chunks:
        X = chunk.to(torch.float64, copy=True)
        X -= X.mean(dim=0)
        if K is None or vectors is None or products is None:
            K, vectors = X.new_zeros(len(X), len(X)), _random_vectors(len(X), X.device)
            products = torch.zeros_like(vectors)
        products += X @ (X.T @ vectors)
        _add_products(K, X.float())
    if K is None or vectors is None or products is None:
        raise ValueError("float32_gram: no features; expected at least one chunk of columns")
    squares = (fill_upper(K) @ vectors - products).square().sum(dim=0)
    gram = Float32Gram(K, MARGIN * float(squares.mean().sqrt()), alpha)
    gram.check(K.diagonal().sum()[None] / min(n_components, len(K)), None)
    return gram


def _random_vectors(n: int, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(n, N_VECTORS, generator=generator, dtype=torch.float64)
    return to_device(vectors, device)


def _add_products(K: Tensor, X: Tensor) -> None:
    """Add X Xᵀ, X float32, to the lower triangle of K, float64, by blocks of rows."""
    size = -(-len(X) // BLOCKS)
    with full_float32():
        for start in range(0, len(X), size):
            stop = min(start + size, len(X))
            K[start:stop, :stop] += X[start:stop] @ X[:stop].T
