"""Fit an ROI's final readout on chosen images, at a layer and alphas that are already chosen.

The predictions are those of the protocols' last fit (`ridge.py`), with the basis written out as
features and in the responses' own units, so that images can be predicted that are not there yet.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.compute.linear_algebra import multiply
from trainables.compute.numerics import FAST, Numerics
from trainables.encoding.pca import (
    ExactLayer,
    FewFeatures,
    decompose_features,
    decompose_images,
    mean_of_rows,
    root_weighted,
)
from trainables.encoding.readout import Projection, Readout

Chunks = Callable[[], Iterable[Tensor]]
"""Reads a layer's features again: (n_images, n_columns) each."""


@dataclass(frozen=True)
class FittedPca:
    """A PCA of fitted images: as a projection of features, and as these images see it."""

    projection: Projection
    variances: Tensor
    """w: (k,) float64."""
    vectors: Tensor
    """U: (n_fitted, k) float64."""
    weights: Tensor | None = None
    """(n_fitted,) float64, how often each image counts; None: once."""

    def fit_readout(self, Y: Tensor, alphas: Tensor) -> Readout:
        """Fit ridge regression at each vertex's own alpha: C = √w / (w + α) Uᵀ Y_c.

        Y: (n_fitted, n_vertices), the fitted images' responses. alphas: (n_vertices,); where it is
        NaN, the mean response is predicted.
        """
        responses = Y.double()
        mean = mean_of_rows(responses, self.weights)
        deviations = root_weighted(responses - mean, self.weights)
        products = multiply(self.vectors.T.contiguous(), deviations)
        weights = self.variances.sqrt()[:, None] / (self.variances[:, None] + alphas)
        return Readout.of((products * weights).nan_to_num(nan=0.0), mean)


def fit_pca(
    layer: ExactLayer,
    chunks: Chunks,
    rows: Tensor,
    n_components: int,
    numerics: Numerics = FAST,
    weights: Tensor | None = None,
) -> FittedPca:
    """Fit a PCA to images. layer: of all images, as `pca.read_layer` reads it. rows: those fitted.

    weights: (n_fitted,) float64, how often each of them counts; None: once.
    The components are those that :func:`~trainables.encoding.pca.principal_components` finds.
    """
    rows = rows.to(layer.device)
    weights = None if weights is None else weights.to(layer.device)
    if isinstance(layer, FewFeatures):
        X = layer.X[rows]
        variances, basis = decompose_features(X, n_components, numerics, weights)
        vectors = multiply(X, basis) / variances.sqrt()
        mean = torch.cat([mean_of_rows(chunk[rows].double(), weights) for chunk in chunks()])
        return FittedPca(Projection(mean.float(), basis.float()), variances, vectors, weights)
    K_fitted = layer[rows[:, None], rows]
    variances, vectors, _ = decompose_images(K_fitted, n_components, numerics, weights)
    scaled = vectors / variances.sqrt()
    parts = [_basis_of(chunk[rows], scaled, weights) for chunk in chunks()]
    means, bases = zip(*parts, strict=True)
    projection = Projection(torch.cat(means), torch.cat(bases))
    return FittedPca(projection, variances, vectors, weights)


def _basis_of(features: Tensor, scaled: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the mean and the basis of some columns: V = X_cᵀ U / √w, float32."""
    X = features.double()
    mean = mean_of_rows(X, weights)
    X -= mean
    on_images = root_weighted(scaled, weights)
    return mean.float(), multiply(X.T.contiguous(), on_images.contiguous()).float()


def project_rows(projection: Projection, chunks: Iterable[Tensor], rows: Tensor) -> Tensor:
    """Compute the components of some images from a layer's columns: (n_rows, k) float32."""
    total: Tensor | None = None
    for part, columns in _with_columns(chunks):
        one = Projection(projection.mean[columns], projection.basis[columns])
        components = one.project(part[rows.to(part.device)])
        total = components if total is None else total + components
    if total is None:
        raise ValueError("project_rows: no features; expected at least one chunk of columns")
    return total


def _with_columns(chunks: Iterable[Tensor]) -> Iterator[tuple[Tensor, slice]]:
    start = 0
    for chunk in chunks:
        yield chunk, slice(start, start + chunk.shape[1])
        start += chunk.shape[1]


def correlate_columns(
    measured: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any]
) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Correlate columns in float64: (n, n_vertices) each -> (n_vertices,); NaN for a constant."""
    centred: Sequence[np.ndarray[Any, Any]] = [
        values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
        for values in (measured, predicted)
    ]
    product = (centred[0] * centred[1]).sum(axis=0)
    norms = np.sqrt(np.square(centred[0]).sum(axis=0) * np.square(centred[1]).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        r: np.ndarray[Any, np.dtype[np.float64]] = np.where(norms > 0, product / norms, np.nan)
    return r
