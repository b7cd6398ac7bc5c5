"""Dissimilarity of models by how they classify, and its embedding by intensive PCA.

Paper: the model landscape; Mao et al. (2024), "The training process of many deep networks explores
the same low-dimensional manifold", for intensive PCA.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

SAFE: Final = 1e-280
"""The smallest overlap that products of float64 give exactly; smaller ones are summed in logs."""


def dissimilarities(pieces: Iterable[tuple[Array, Array]]) -> Array:
    """Compare every model with every other: d(u,v) = −(1/N) Σ_n log Σ_c √(p_u(n,c) p_v(n,c)).

    pieces: of the N images, some at a time: log-probabilities in nats by the models of the two
    sides, each (images, models, classes), −inf where a class is excluded. Returns (models of the
    first side, models of the second), in nats per image; exact however small the probabilities
    are, and infinite where two models share no class of an image.
    """
    total, n_images = np.zeros((1, 1)), 0
    for left, right in pieces:
        total = total - np.minimum(_log_overlaps(left, right), 0.0).sum(axis=0)
        n_images += len(left)
    mean: Array = total / n_images
    return mean


def _log_overlaps(left: Array, right: Array) -> Array:
    """Compute log Σ_c exp(½ log p_u + ½ log p_v): (images, models of left, models of right).

    left, right: (images, models, classes), log-probabilities.
    """
    tops = [side.max(axis=2, keepdims=True) for side in (left, right)]
    scaled = [np.exp((side - top) / 2) for side, top in zip((left, right), tops, strict=True)]
    overlap = scaled[0] @ scaled[1].transpose(0, 2, 1)
    # Where the large terms of one model meet small ones of the other, products underflow.
    n, u, v = np.nonzero(overlap < SAFE)
    with np.errstate(divide="ignore"):
        logs: Array = np.log(overlap) + (tops[0] + tops[1].transpose(0, 2, 1)) / 2
    logs[n, u, v] = [
        np.logaddexp.reduce((left[i, a] + right[i, b]) / 2) for i, a, b in zip(n, u, v, strict=True)
    ]
    return logs


def log_one_hot(labels: "np.ndarray[Any, np.dtype[np.int64]]", n_classes: int) -> Array:
    """Make the oracle's log-probabilities: 0 for the true class, −inf for the others.

    Returns (n_images, n_classes).
    """
    found: Array = np.where(np.arange(n_classes) == labels[:, None], 0.0, -np.inf)
    return found


@dataclass(frozen=True)
class Embedding:
    """Coordinates of models; squared distances along imaginary axes count negatively."""

    coordinates: Array
    """(n_models, n_axes), by falling absolute eigenvalue."""
    eigenvalues: Array
    """(n_axes,); negative ones belong to imaginary axes."""
    stress: Array
    """(n_axes,) explained stress of the first 1, 2 … axes: 1 − √(1 − Σλ²/‖W‖²)."""
    dissimilarities: Array
    """(n_models, n_models), what was embedded."""

    @property
    def signs(self) -> Array:
        """Tell which axes are real (1) and which imaginary (−1)."""
        return np.sign(self.eigenvalues)


def embed(D: Array) -> Embedding:
    """Embed models by intensive PCA: W = −½ L D L, L = I − 11ᵀ/M; coordinates v √|λ|.

    D: (M, M), symmetric, zero diagonal. Σ_k sign_k (x_uk − x_vk)² = d(u,v), exactly.
    """
    n_models = len(D)
    L = np.eye(n_models) - 1 / n_models
    eigenvalues, vectors = np.linalg.eigh(-0.5 * L @ D @ L)
    order = np.argsort(-np.abs(eigenvalues), kind="stable")
    eigenvalues, vectors = eigenvalues[order], vectors[:, order]
    vectors = vectors * _upright(vectors)
    squared = np.cumsum(eigenvalues**2)
    whole = squared[-1] if squared[-1] > 0 else 1.0
    stress = 1 - np.sqrt(np.clip(1 - squared / whole, 0, None))
    return Embedding(vectors * np.sqrt(np.abs(eigenvalues)), eigenvalues, stress, D)


def place(D_new: Array, embedding: Embedding) -> Array:
    """Embed further models without moving those of an embedding.

    D_new: (n_new, M) dissimilarities to the embedded ones. Returns (n_new, n_axes); an embedded
    model keeps its place (Gower 1968, with signed eigenvalues); axes without extent are 0.
    """
    D = embedding.dissimilarities
    centred = -0.5 * (D_new - D.mean(axis=0) - D_new.mean(axis=1, keepdims=True) + D.mean())
    extent = np.sqrt(np.abs(embedding.eigenvalues))
    has_extent = extent > 1e-9 * max(float(extent.max()), float(np.finfo(np.float64).tiny))
    scale = np.where(has_extent, embedding.signs / np.where(has_extent, extent, 1.0) ** 2, 0.0)
    placed: Array = centred @ embedding.coordinates * scale
    return placed


def _upright(vectors: Array) -> Array:
    """Choose each axis' direction: the entry of the largest size is positive."""
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return np.where(signs == 0, 1.0, signs)
