"""The principal components of a layer, exactly, from whichever are fewer: images or features.

With K = X_c X_cᵀ = U diag(w) Uᵀ, centred on the training rows and cut to its k largest
eigenvalues, the PCA scores of the training rows are U √w, and those of rows whose Gram matrix with
the training rows is B are B U / √w. A layer of few features has them from X_cᵀ X_c = V diag(w) Vᵀ
sooner: U = X_c V / √w.

Where images have weights n, their numbers of trials, components and fits are those of n equal rows
each: means are weighted, and training rows multiplied by √n, so that U has the rows √n of theirs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from trainables.compute.linear_algebra import add_gram, fill_upper, multiply
from trainables.compute.numerics import FAST, Numerics
from trainables.compute.truncated_eigh import leading_components
from trainables.compute.warm_subspace import AnyStart
from trainables.encoding.float32_gram import Float32Gram

IMAGES_PER_FEATURE: Final = 3
"""So many times more images than features make components of features the sooner ones."""

ROUNDING: Final = 10
"""Components below this many n_train · eps · max K are rounding error; up to 2 were measured."""


def gram(chunks: Iterable[Tensor]) -> Tensor:
    """Sum the inner products of images over features: K = Σ (X − 1 x̄ᵀ)(X − 1 x̄ᵀ)ᵀ.

    chunks: (n_images, n_columns) each, together all features of a layer. x̄ is the mean over
    all images: later centring makes it irrelevant, but without it large means cancel digits.
    Returns (n_images, n_images) float64.
    Raises ValueError when there is no chunk, or features are not finite.
    """
    K: Tensor | None = None
    for chunk in chunks:
        X = chunk.to(torch.float64, copy=True)
        X -= X.mean(dim=0)
        if K is None:
            K = X.new_zeros(len(X), len(X))
        add_gram(K, X)
    if K is None:
        raise ValueError("gram: no features; expected at least one chunk of columns")
    _check_finite(K.diagonal())
    return fill_upper(K)


@dataclass(frozen=True)
class FewFeatures:
    """A layer of far fewer features than images."""

    X: Tensor
    """(n_images, n_features) float64, centred over all images."""

    @property
    def device(self) -> torch.device:
        """Return the device of the features."""
        return self.X.device


ExactLayer = Tensor | FewFeatures
"""A layer read in float64: its Gram matrix of images, or the features where they are few."""
Layer = ExactLayer | Float32Gram
"""The input of a PCA."""


def has_few_features(n_features: int, n_images: int) -> bool:
    """Return whether components are found sooner from the features than from the images."""
    return IMAGES_PER_FEATURE * n_features <= n_images


def read_layer(chunks: Iterable[Tensor], n_features: int, n_images: int) -> ExactLayer:
    """Read a layer's features in the form that its components are found from sooner.

    chunks: (n_images, n_columns) each, n_features in all. Raises ValueError when there is none, or
    they are not finite.
    """
    if not has_few_features(n_features, n_images):
        return gram(chunks)
    X = torch.cat([chunk.to(torch.float64) for chunk in chunks], dim=1)
    X -= X.mean(dim=0)
    _check_finite(X)
    return FewFeatures(X)


def _check_finite(values: Tensor) -> None:
    if not bool(values.isfinite().all()):
        raise ValueError(
            "gram: features hold NaN or infinite values; the backbone has diverged, so train it "
            "again with a lower learning rate"
        )


@dataclass(frozen=True)
class PrincipalComponents:
    """The principal components of a fold's training rows, as its rows see them."""

    variances: Tensor
    """w: (k,) float64, sums of squares of the training rows' scores."""
    train_vectors: Tensor
    """U: (n_train, k) float32."""
    test_scores: Tensor
    """B U / √(w · max w), centred over the test rows: (n_test, k) float32."""

    def first(self, k: int) -> "PrincipalComponents":
        """Return the k components of largest variance."""
        return PrincipalComponents(
            self.variances[:k], self.train_vectors[:, :k], self.test_scores[:, :k]
        )

    def shrinkage(self, alphas: Tensor) -> Tensor:
        """Weigh components for each alpha, (n_alphas, k): √w / (w + α), scaled to at most 1.

        alphas: (n_alphas,) float64. r does not depend on the scale; float32 then holds them all.
        """
        weights = self.variances.sqrt() / (self.variances + alphas[:, None])
        if weights.shape[1]:
            weights = weights / weights.amax(dim=1, keepdim=True)
        return weights.float()


def principal_components(
    layer: Layer,
    train: Tensor,
    test: Tensor,
    n_components: int,
    numerics: Numerics = FAST,
    weights: Tensor | None = None,
    start: AnyStart | None = None,
) -> PrincipalComponents:
    """Find the n_components (at most n_train − 1) of largest variance of the training rows.

    train, test: row numbers. weights: (n_train,) float64, how often each training row counts; None:
    once. start: components of more rows of images, by the layer's rows. Components whose variance
    is rounding error of the layer's products are dropped: their exact counterparts predict nothing.
    Raises InexactGramError when a float32 Gram matrix is not accurate enough for the components.
    """
    if isinstance(layer, FewFeatures):
        return _of_features(layer, (train, test), n_components, numerics, weights)
    near = None if start is None else start.of_rows(train)
    if isinstance(layer, Float32Gram):
        found = _of_images(layer.K, (train, test), n_components, numerics, weights, near)
        layer.check(found.variances, weights)
        return found
    return _of_images(layer, (train, test), n_components, numerics, weights, near)


def mean_of_rows(values: Tensor, weights: Tensor | None) -> Tensor:
    """Average rows: (n, …) -> (…), each as often as its weight, (n,), says; None: once."""
    if weights is None:
        return values.mean(dim=0)
    share = (weights / weights.sum()).to(values.dtype)
    return multiply(share[None], values)[0]


def root_weighted(values: Tensor, weights: Tensor | None) -> Tensor:
    """Multiply rows, (n, n_columns), by the square roots of their weights, (n,); None: 1."""
    if weights is None:
        return values
    return values * weights.sqrt().to(values.dtype)[:, None]


def _of_images(
    K: Tensor,
    rows: tuple[Tensor, Tensor],
    n_components: int,
    numerics: Numerics,
    weights: Tensor | None,
    start: AnyStart | None,
) -> PrincipalComponents:
    train, test = rows
    K_train, K_test = K[train[:, None], train], K[test[:, None], train]
    variances, vectors, mean = decompose_images(K_train, n_components, numerics, weights, start)
    K_test -= mean
    K_test -= K_test.mean(dim=1, keepdim=True)
    on_images = root_weighted(vectors, weights)
    scores = multiply(K_test, on_images) / (variances * variances[:1]).sqrt()
    return PrincipalComponents(variances, vectors.float(), _centre_scores(scores).float())


def decompose_images(
    K_train: Tensor,
    n_components: int,
    numerics: Numerics = FAST,
    weights: Tensor | None = None,
    start: AnyStart | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Decompose the Gram matrix of training rows, which is centred in place.

    K_train: (n_train, n_train) float64. weights: (n_train,), or None. start: components of more
    rows, by those of K_train, or None. Returns w, (k,), U, (n_train, k), and the means of the
    columns of K_train before it was centred, all float64.
    """
    floor = _floor(K_train.diagonal() if weights is None else K_train.diagonal() * weights)
    mean = mean_of_rows(K_train, weights)
    K_train -= mean
    total = mean.mean() if weights is None else mean_of_rows(mean[:, None], weights)
    K_train -= (mean - total)[:, None]
    if weights is not None:
        K_train *= weights.sqrt()
        K_train *= weights.sqrt()[:, None]
    variances, vectors = leading_components(K_train, n_components, numerics, start)
    kept = _n_kept(variances, floor, len(K_train))
    return variances[:kept], vectors[:, :kept], mean


def _of_features(
    layer: FewFeatures,
    rows: tuple[Tensor, Tensor],
    n_components: int,
    numerics: Numerics,
    weights: Tensor | None,
) -> PrincipalComponents:
    X_train, X_test = (layer.X[one] for one in rows)
    mean = mean_of_rows(X_train, weights)
    variances, vectors = decompose_features(X_train, n_components, numerics, weights)
    X_test -= mean
    scores = multiply(X_test, vectors) / variances[:1].sqrt()
    train_vectors = multiply(X_train, vectors) / variances.sqrt()
    return PrincipalComponents(variances, train_vectors.float(), _centre_scores(scores).float())


def decompose_features(
    X_train: Tensor,
    n_components: int,
    numerics: Numerics = FAST,
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Decompose the features of training rows, which are centred and weighted in place.

    X_train: (n_train, n_features) float64. weights: (n_train,), or None. Returns w, (k,), and V,
    (n_features, k), float64.
    """
    squares = X_train.square().sum(dim=1)
    floor = _floor(squares if weights is None else squares * weights)
    X_train -= mean_of_rows(X_train, weights)
    if weights is not None:
        X_train *= weights.sqrt()[:, None]
    C = X_train.new_zeros(X_train.shape[1], X_train.shape[1])
    add_gram(C, X_train.T.contiguous())
    variances, vectors = leading_components(fill_upper(C), n_components, numerics)
    kept = _n_kept(variances, floor, len(X_train))
    return variances[:kept], vectors[:, :kept]


def _floor(squares: Tensor) -> Tensor:
    """Bound the rounding error of a component without variance. squares: of each image's norm."""
    return ROUNDING * len(squares) * torch.finfo(squares.dtype).eps * squares.max()


def _n_kept(variances: Tensor, floor: Tensor, n_train: int) -> int:
    return int((variances > floor).sum().clamp(max=n_train - 1))


def _centre_scores(scores: Tensor) -> Tensor:
    """Centre columns over rows; a column that is constant up to rounding becomes 0."""
    centred = scores - scores.mean(dim=0)
    noise = 1e-12 * scores.abs().amax(dim=0)
    return torch.where(centred.abs().amax(dim=0) > noise, centred, 0.0)
