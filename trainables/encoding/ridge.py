"""Ridge regression on principal components, for all vertices and all alphas at once.

With the scores U √w of the training rows and B U / √w of others (`pca.py`), ridge predicts
B U diag(1 / (w + α)) Uᵀ Y_c for the latter.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from trainables.compute.linear_algebra import (
    column_products,
    multiply,
    scale_rows,
    triangle_of,
    upper_product,
)
from trainables.compute.numerics import FAST, Numerics
from trainables.compute.precision import full_float32
from trainables.compute.warm_subspace import AnyStart
from trainables.encoding.pca import (
    Layer,
    PrincipalComponents,
    mean_of_rows,
    principal_components,
    root_weighted,
)

CHUNK_BYTES: Final = 128 * 2**20
"""Bytes of one intermediate of a chunk of vertices: bounds memory when there are 39,548.

Fewer would be sooner in a processor's cache, but two libraries' threads wait for each other at
every change from one to the other.
"""


@dataclass(frozen=True)
class Responses:
    """A chunk of vertices of a fold: standardised responses, and which vertices have no r."""

    train: Tensor
    """Centred over the training rows, weighted, unit norm: (n_train, n_vertices) float32."""
    test: Tensor
    """The same over the test rows: (n_test, n_vertices) float32."""
    is_constant: Tensor
    """(n_vertices,) bool: measured responses are constant over training or test rows."""


@dataclass(frozen=True)
class Fold:
    """A fitted PCA with the rows it was fitted on and the rows that it is scored on."""

    components: PrincipalComponents
    train: Tensor
    test: Tensor
    numerics: Numerics = FAST
    weights: Tensor | None = None
    """(n_train,) float64, how often each training row counts; None: once."""

    @classmethod
    def fit(
        cls,
        layer: Layer,
        train: Tensor,
        test: Tensor,
        n_components: int,
        numerics: Numerics = FAST,
        weights: Tensor | None = None,
        start: AnyStart | None = None,
    ) -> "Fold":
        """Fit the PCA of a fold; see :func:`principal_components`."""
        train, test = train.to(layer.device), test.to(layer.device)
        weights = None if weights is None else weights.to(layer.device)
        components = principal_components(
            layer, train, test, n_components, numerics, weights, start
        )
        return cls(components, train, test, numerics, weights)

    def standardise(self, Y: Tensor) -> Responses:
        """Take a fold's rows of responses. Y: (n_images, n_vertices)."""
        train, train_norm = _unit_columns(Y[self.train], self.weights)
        test, test_norm = _unit_columns(Y[self.test])
        return Responses(train, test, (train_norm == 0) | (test_norm == 0))


def _unit_columns(Y: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Centre columns and scale them to unit norm; return them, float32, and their norms.

    weights: (n,) of the rows, which are multiplied by their square roots; None: 1. The first row is
    taken off first: exact but for float32's last digit of the difference, and the norm of a
    constant column is exactly 0.
    """
    Y = (Y - Y[0]).float()
    Y -= mean_of_rows(Y, weights)
    Y = root_weighted(Y, weights)
    norm = column_products(Y, Y).sqrt()
    return Y.div_(torch.where(norm > 0, norm, 1.0)), norm


def correlate(fold: Fold, Y: Tensor, alphas: Sequence[float]) -> Tensor:
    """Score ridge at every alpha: Pearson r between predicted and measured test responses.

    Y: (n_images, n_vertices), rows as the layer's. Returns (n_alphas, n_vertices) float64; NaN
    where measured responses are constant over training or test rows, or the predicted are.
    """
    weights = fold.components.shrinkage(_float64(alphas, Y.device))
    if len(fold.test) > weights.shape[1] > 0 and not fold.numerics.deterministic:
        return _correlate_by_components(fold, Y, weights)
    weighted = (weights[:, None] * fold.components.test_scores).flatten(0, 1)
    shape = (len(alphas), len(fold.test))
    predict = _product(weighted, fold.components.train_vectors.T, Y.shape[1])
    parts = []
    for columns in _vertex_chunks(Y.shape[1], max(len(fold.train) * 2, len(weighted))):
        responses = fold.standardise(Y[:, columns])
        predicted = predict(responses.train).view(*shape, -1)
        parts.append(_pearson(predicted, responses))
    return torch.cat(parts, dim=1)


def _correlate_by_components(fold: Fold, Y: Tensor, weights: Tensor) -> Tensor:
    """Correlate without the predictions, where there are more test rows than components.

    With C = Uᵀ Y, T the same of the test rows' scores S, and S = Q R, the products of predictions
    and measured responses are Σ weight · C · T over components, and a prediction is as long as
    R (weight · C).
    """
    scores, vectors = fold.components.test_scores, fold.components.train_vectors
    R = triangle_of(scores.double()).float().contiguous()
    parts = []
    for columns in _vertex_chunks(Y.shape[1], len(fold.train) * 2):
        responses = fold.standardise(Y[:, columns])
        C = multiply(vectors.T, responses.train)
        products = multiply(weights, C * multiply(scores.T, responses.test))
        each = (upper_product(R, scale_rows(C, weight)) for weight in weights)
        norms = torch.stack([column_products(one, one) for one in each]).sqrt()
        parts.append(_scored(products, norms, responses))
    return torch.cat(parts, dim=1)


def _product(A: Tensor, B: Tensor, n_columns: int) -> Callable[[Tensor], Tensor]:
    """Multiply columns by A B, in the order that takes fewer operations for n_columns of them."""
    (n, k), m = A.shape, B.shape[1]
    if n * m * (k + n_columns) < k * (n + m) * n_columns:
        AB = multiply(A, B)
        return lambda columns: multiply(AB, columns)
    return lambda columns: multiply(A, multiply(B, columns))


def correlate_each(fold: Fold, Y: Tensor, alphas: Tensor) -> Tensor:
    """Score ridge at each vertex's own alpha. alphas: (n_vertices,). Returns (n_vertices,).

    NaN as in :func:`correlate`, and where alpha is NaN.
    """
    return torch.cat([_pearson(*chunk) for chunk in _predict_chunks(fold, Y, alphas)])


def predict_each(fold: Fold, Y: Tensor, alphas: Tensor) -> Tensor:
    """Predict test responses by ridge at each vertex's own alpha. alphas: (n_vertices,).

    Returns (n_test, n_vertices) float32, each column of mean 0 and variance 1: r with the
    measured responses is :func:`correlate_each`'s, and a column is NaN where that is.
    """
    parts = []
    for predicted, responses in _predict_chunks(fold, Y, alphas):
        predicted -= predicted.mean(dim=0)
        spread = column_products(predicted, predicted).div_(len(predicted)).sqrt_()
        has_r = (spread > 0) & ~responses.is_constant
        parts.append(torch.where(has_r, predicted / spread, torch.nan))
    return torch.cat(parts, dim=1)


def _predict_chunks(fold: Fold, Y: Tensor, alphas: Tensor) -> Iterator[tuple[Tensor, Responses]]:
    """Yield predictions (n_test, n_vertices), of any scale, with the responses of a chunk."""
    distinct, which = torch.unique(alphas, return_inverse=True)
    weights = fold.components.shrinkage(distinct)
    for columns in _vertex_chunks(Y.shape[1], len(fold.train) * 2):
        responses = fold.standardise(Y[:, columns])
        coefficients = multiply(fold.components.train_vectors.T, responses.train)
        coefficients *= weights[which[columns]].T
        yield multiply(fold.components.test_scores, coefficients), responses


def _float64(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)


def _vertex_chunks(n_vertices: int, n_rows: int) -> Iterator[slice]:
    size = max(1, CHUNK_BYTES // (4 * n_rows))
    return (slice(start, start + size) for start in range(0, n_vertices, size))


def _pearson(predicted: Tensor, responses: Responses) -> Tensor:
    """Correlate predictions (…, n_test, n_vertices), of zero mean over rows, with measured."""
    norms = column_products(predicted, predicted).sqrt()
    return _scored(column_products(predicted, responses.test), norms, responses)


def _scored(products: Tensor, norms: Tensor, responses: Responses) -> Tensor:
    """Divide products with measured responses, of unit norm, by the predictions' own norms."""
    has_r = (norms > 0) & ~responses.is_constant
    return torch.where(has_r, products / norms, torch.nan).double()


def score_fold(
    layer: Layer,
    rows: tuple[Tensor, Tensor],
    Y: Tensor,
    alphas: Sequence[float],
    n_components: int,
    numerics: Numerics = FAST,
) -> Tensor:
    """Fit PCA and ridge on training rows and score test rows, at every alpha and vertex.

    rows: training rows and test rows of the layer and Y. Returns r, (n_alphas, n_vertices) float64.
    """
    with full_float32():
        return correlate(Fold.fit(layer, *rows, n_components, numerics), Y, alphas)
