"""Bands of features: the principal components of each layer of a network, and of all its layers.

Every band has a total variance of 1 over the images that ridge regression is fitted to, so that the
penalties of bands are comparable and no layer outweighs the others by its width or scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from trainables.compute.linear_algebra import multiply
from trainables.compute.numerics import FAST, Numerics
from trainables.compute.truncated_eigh import leading_components
from trainables.encoding.features import FeatureStore
from trainables.encoding.pca import gram, mean_of_rows, root_weighted

LEAST_SHARE: Final = 1e-9
"""Components of a smaller share of the first one's variance are rounding error, and dropped."""


@dataclass(frozen=True)
class NetworkBands:
    """The bands of a network's layers; every tensor is (n_images, n_components) float64."""

    layers: tuple[Tensor, ...]
    """Of each layer: together as many components as all layers have."""
    concatenated: Tensor
    """Of all layers at once, each scaled to the same total variance."""


def network_bands(
    features: FeatureStore,
    layers: Sequence[str],
    fitted: Tensor,
    n_components: int,
    numerics: Numerics = FAST,
    weights: Tensor | None = None,
) -> NetworkBands:
    """Find the components of a network's layers, as the fitted images have them.

    fitted: row numbers; the components are those of their features, and the other rows are
    projected on them. n_components: of all layers concatenated; each layer has its share of them.
    weights: (n_fitted,) float64, how often each fitted row counts; None: once. Two Gram matrices of
    all images are in memory at a time.
    """
    total: Tensor | None = None
    of_layers = []
    for layer in layers:
        K = _centre(gram(features.columns(layer)), fitted, weights)
        n = max(1, n_components // len(layers))
        of_layers.append(_components(K, fitted, n, numerics, weights))
        total = K if total is None else total.add_(K)
    assert total is not None  # an encoding has a layer
    concatenated = _components(total, fitted, n_components, numerics, weights)
    return NetworkBands(tuple(of_layers), concatenated)


def _centre(K: Tensor, fitted: Tensor, weights: Tensor | None) -> Tensor:
    """Centre a Gram matrix on the fitted rows and scale it to a total variance of 1 over them.

    K: (n_images, n_images). Returns (n_images, n_fitted). A layer that is constant stays 0.
    """
    centred = K[:, fitted]
    if weights is None:
        centred -= centred.mean(dim=1, keepdim=True)
    else:
        centred -= multiply(centred, (weights / weights.sum())[:, None])
    centred -= mean_of_rows(centred[fitted], weights)
    variance = float(_mean(centred[fitted].diagonal(), weights))
    return centred / variance if variance > 0 else centred


def _components(
    K: Tensor, fitted: Tensor, n_components: int, numerics: Numerics, weights: Tensor | None
) -> Tensor:
    """Project all images on the components of the fitted ones: (n_images, at most n_components).

    K: (n_images, n_fitted), centred. The result has a total variance of at most 1.
    """
    K_fitted = K[fitted]
    if weights is not None:
        K_fitted = root_weighted(root_weighted(K_fitted, weights).T, weights)
    variances, vectors = leading_components(K_fitted, n_components, numerics)
    n_kept = int((variances > LEAST_SHARE * variances[0].clamp(min=0)).sum())
    variances, vectors = variances[:n_kept], vectors[:, :n_kept]
    scores = multiply(K, root_weighted(vectors, weights)) / variances.sqrt()
    squares = scores[fitted].square().sum(dim=1)
    spread = _mean(squares, weights) if n_kept else torch.ones(())
    return scores / spread.sqrt()


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    return values.mean() if weights is None else (values * weights).sum() / weights.sum()
