"""Ridge regression of a layer that is fitted to NSD-synthetic itself, and predicts other images.

Nested cross-validation over groups of images: for each fold, PCA and ridge regression are fitted to
the other folds, and each vertex's alpha is the one of highest r in a cross-validation within these.

Predictions are differences from the mean features of the images at hand, without intercept. The
mean of the fitted responses is the lower the higher those of the fold left out are: as an
intercept it would set the folds apart, the wrong way round.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

from orchestrator.evaluate.ood.image_groups import Array, Groups, grouped_folds
from trainables.encoding.pca import decompose_images
from trainables.spec import Encoding

FEWEST_GROUPS: Final = 3
"""Fewest groups, and fewest folds of them: two are left outside each to choose an alpha in."""
CHUNK: Final = 1024
"""Vertices whose predictions at all alphas are held at once."""


@dataclass(frozen=True)
class _Fit:
    """A PCA of some images, by which ridge regression predicts others."""

    train: Tensor
    test: Tensor
    variances: Tensor
    """w: (k,)."""
    vectors: Tensor
    """U: (n_train, k)."""
    scores: Tensor
    """Principal components of the test images over √w, less their mean over train and test:
    (n_test, k)."""

    @classmethod
    def of(cls, K: Tensor, train: Tensor, test: Tensor, n_components: int) -> Self:
        """Fit to the rows train of a Gram matrix, for the rows test."""
        variances, vectors, mean = decompose_images(K[train[:, None], train], n_components)
        both = torch.cat([train, test])
        products = K[both[:, None], train] - mean
        products -= products.mean(dim=1, keepdim=True)
        scores = products @ vectors / variances.sqrt()
        scores = (scores - scores.mean(dim=0))[len(train) :]
        return cls(train, test, variances, vectors, scores)

    def predict(self, Y: Tensor, alphas: Tensor) -> Tensor:
        """Predict the test images: (n_test, n_vertices). alphas: (n_vertices,) or one for all."""
        responses = Y[self.train]
        products = self.vectors.T @ (responses - responses.mean(dim=0))
        weights = self.variances.sqrt()[:, None] / (self.variances[:, None] + alphas)
        return self.scores @ (weights * products)


class RefittedReadout:
    """The fits of a layer to all folds of images, for any vertices.

    K: (n_images, n_images) float64, inner products of the layer's features. groups: (n_images,),
    at least FEWEST_GROUPS of them, which no fold divides.
    """

    def __init__(self, K: Tensor, groups: Groups, encoding: Encoding) -> None:
        self._alphas = torch.tensor(encoding.alphas, dtype=torch.float64, device=K.device)
        every = np.arange(len(groups))
        self._folds = []
        for held_out in grouped_folds(groups, max(encoding.n_folds, FEWEST_GROUPS)):
            rows = np.setdiff1d(every, held_out)
            within = [
                (np.delete(rows, part), rows[part])
                for part in grouped_folds(groups[rows], encoding.n_folds)
            ]
            inner = [_fit(K, train, test, encoding) for train, test in within]
            self._folds.append((_fit(K, rows, held_out, encoding), inner))

    def predict(self, responses: Array) -> Array:
        """Predict every image from the folds that it is not in: (n_images, n_vertices) float64.

        responses: (n_images, n_vertices).
        """
        parts = np.split(responses, range(CHUNK, responses.shape[1], CHUNK), axis=1)
        device = self._alphas.device
        predicted = [self._predict(torch.tensor(one, device=device).double()) for one in parts]
        found: Array = torch.cat(predicted, dim=1).cpu().numpy()
        return found

    def _predict(self, Y: Tensor) -> Tensor:
        predicted = torch.zeros_like(Y)
        for fit, inner in self._folds:
            predicted[fit.test] = fit.predict(Y, self._choose(inner, Y))
        return predicted

    def _choose(self, fits: Sequence[_Fit], Y: Tensor) -> Tensor:
        """Choose each vertex's alpha by r over all images that some fit predicts: (n_vertices,)."""
        measured = torch.cat([Y[fit.test] for fit in fits])
        r = torch.stack(
            [
                _correlate(torch.cat([fit.predict(Y, alpha) for fit in fits]), measured)
                for alpha in self._alphas
            ]
        )
        return self._alphas[r.nan_to_num(nan=-torch.inf).argmax(dim=0)]


def _fit(K: Tensor, train: Groups, test: Groups, encoding: Encoding) -> _Fit:
    fitted, predicted = (torch.from_numpy(one).to(K.device) for one in (train, test))
    return _Fit.of(K, fitted, predicted, encoding.n_components)


def _correlate(predicted: Tensor, measured: Tensor) -> Tensor:
    a, b = predicted - predicted.mean(dim=0), measured - measured.mean(dim=0)
    return (a * b).sum(dim=0) / (a.square().sum(dim=0) * b.square().sum(dim=0)).sqrt()
