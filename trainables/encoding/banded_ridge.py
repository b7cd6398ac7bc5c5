"""Banded ridge regression: several bands of features, each with a penalty of its own per vertex.

Ridge regression on features that are scaled by √γ of their band and penalised by α has the penalty
α / γ on a band. For every candidate γ and all α at once, one eigendecomposition of a fold's
features gives the predictions of all vertices; γ and α of a vertex are those of the least squared
error over folds (random search: Dupré la Tour et al., 2022).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

from trainables.compute.linear_algebra import decompose, multiply, scale_rows
from trainables.encoding.pca import mean_of_rows, root_weighted

Gammas = Sequence[tuple[float, ...]]
"""Candidates: the share of each band, which add up to 1."""

TWO_BANDS: Final[Gammas] = tuple(
    (1 - share, share) for share in (0.0, 1.0, 0.5, 0.02, 0.1, 0.25, 0.75, 0.9, 0.98)
)
"""Candidates for two bands: each alone first, then both."""
CONCENTRATIONS: Final = (0.1, 1.0)
"""Of the Dirichlet distributions that shares of more bands are drawn from, in turn."""
N_DRAWN: Final = 16


def candidates_for(n_bands: int) -> Gammas:
    """List candidates for several bands: each alone, all alike, and N_DRAWN random ones."""
    generator = np.random.default_rng(0)
    alone = np.eye(n_bands)
    alike = np.full((1, n_bands), 1 / n_bands)
    drawn = [
        generator.dirichlet(np.full(n_bands, CONCENTRATIONS[k % len(CONCENTRATIONS)]))
        for k in range(N_DRAWN if n_bands > 1 else 0)
    ]
    found = np.concatenate([alone, alike[: n_bands - 1], *(one[None] for one in drawn)])
    return [tuple(row) for row in found.tolist()]


@dataclass(frozen=True)
class Penalties:
    """The candidates, and those that each vertex has chosen."""

    gammas: Gammas
    alphas: Sequence[float]
    gamma: Tensor
    """(n_vertices,) places in gammas."""
    alpha: Tensor
    """(n_vertices,) places in alphas."""


@dataclass(frozen=True)
class _Decomposed:
    """A ridge regression before its alpha is known: predictions are T diag(1 / (w + α)) P."""

    T: Tensor
    """(n_predicted, k)."""
    w: Tensor
    """(k,) eigenvalues, at least 0."""
    P: Tensor
    """(k, n_vertices)."""

    @classmethod
    def fit(cls, X: Tensor, X_other: Tensor, Y: Tensor) -> Self:
        """Fit centred features to centred responses, by the smaller of their two Gram matrices."""
        if X.shape[0] < X.shape[1]:
            w, U = decompose(multiply(X, X.T))
            return cls(multiply(X_other, multiply(X.T, U)), w.clamp(min=0), multiply(U.T, Y))
        w, V = decompose(multiply(X.T, X))
        return cls(multiply(X_other, V), w.clamp(min=0), multiply(V.T, multiply(X.T, Y)))

    def predict(self, alpha: float, columns: Tensor | None = None) -> Tensor:
        """Predict with one alpha, for all vertices or the columns: (n_predicted, n_vertices)."""
        P = self.P if columns is None else self.P[:, columns]
        return multiply(self.T, scale_rows(P, 1 / (self.w + alpha)))


def choose_penalties(
    bands: Sequence[Tensor],
    Y: Tensor,
    folds: Iterable[tuple[Tensor, Tensor]],
    gammas: Gammas,
    alphas: Sequence[float],
    weights: Tensor | None = None,
) -> Penalties:
    """Choose γ and α of each vertex by the mean squared error of held-out rows over folds.

    bands: (n_images, n_features) each. Y: (n_images, n_vertices). Both float64. folds: training
    and held-out rows. weights: (n_images,), how often a fit counts each row; None: once. Of equal
    errors the first candidate is chosen.
    """
    loss = Y.new_zeros(len(gammas), len(alphas), Y.shape[1])
    for train, held_out in folds:
        mean = mean_of_rows(Y[train], _at(weights, train))
        wanted = Y[held_out] - mean
        for number, gamma in enumerate(gammas):
            fitted = _fit(bands, gamma, Y, (train, held_out), weights)
            for place, alpha in enumerate(alphas):
                error = wanted - fitted.predict(alpha)
                loss[number, place] += error.square_().mean(dim=0)
    best = loss.flatten(0, 1).argmin(dim=0)
    return Penalties(gammas, alphas, best // len(alphas), best % len(alphas))


def predict(
    bands: Sequence[Tensor],
    Y: Tensor,
    rows: tuple[Tensor, Tensor],
    penalties: Penalties,
    weights: Tensor | None = None,
) -> Tensor:
    """Fit training rows with each vertex's penalties, and predict others: (n_rows, n_vertices).

    rows: training rows and rows to predict. weights: as of :func:`choose_penalties`.
    """
    predicted = Y.new_empty(len(rows[1]), Y.shape[1])
    for number in _distinct(penalties.gamma):
        of_gamma = penalties.gamma == number
        fitted = _fit(bands, penalties.gammas[number], Y, rows, weights)
        for place in _distinct(penalties.alpha[of_gamma]):
            columns = torch.nonzero(of_gamma & (penalties.alpha == place)).flatten()
            predicted[:, columns] = fitted.predict(penalties.alphas[place], columns)
    return predicted.add_(mean_of_rows(Y[rows[0]], _at(weights, rows[0])))


def _distinct(places: Tensor) -> list[int]:
    return sorted(set(places.tolist()))


def _at(weights: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if weights is None else weights[rows]


def _fit(
    bands: Sequence[Tensor],
    gamma: Sequence[float],
    Y: Tensor,
    rows: tuple[Tensor, Tensor],
    weights: Tensor | None,
) -> _Decomposed:
    train, other = rows
    own = _at(weights, train)
    scaled = [band * share**0.5 for band, share in zip(bands, gamma, strict=True) if share > 0]
    X = torch.cat(scaled, dim=1)
    mean = mean_of_rows(X[train], own)
    centred = (X[train] - mean, Y[train] - mean_of_rows(Y[train], own))
    fitted, responses = (root_weighted(one, own) for one in centred)
    return _Decomposed.fit(fitted, X[other] - mean, responses)
