"""Dissimilarity of models by how they classify, and its embedding by intensive PCA.

Paper: the model landscape; Mao et al. (2024), "The training process of many deep networks explores
the same low-dimensional manifold", for intensive PCA.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

FLOOR: Final = float(np.finfo(np.float64).tiny)
"""The smallest overlap of two models on an image: without it, one image to whose class a model
gives zero probability would make the distance infinite."""
BLOCK: Final = 1 << 24
"""Probabilities in memory at once, as float64."""


def dissimilarities(models: Sequence[Array], others: Sequence[Array]) -> Array:
    """Compare every model with every other: d(u,v) = −(1/N) Σ_n log Σ_c √(p_u(n,c) p_v(n,c)).

    models, others: each (n_images, n_classes), rows that sum to 1. Returns
    (len(models), len(others)), in nats per image.
    """
    n_images, n_classes = models[0].shape
    total = np.zeros((len(models), len(others)))
    size = max(1, BLOCK // (n_classes * (len(models) + len(others))))
    for start in range(0, n_images, size):
        part = slice(start, start + size)
        rows, columns = (
            np.sqrt(np.stack([one[part] for one in many], axis=1, dtype=np.float64))
            for many in (models, others)
        )  # (images, models, classes)
        overlap = rows @ columns.transpose(0, 2, 1)
        total -= np.log(np.clip(overlap, FLOOR, 1.0)).sum(axis=0)
    mean: Array = total / n_images
    return mean


def normalised(probabilities: Array) -> Array:
    """Scale rows, which float32 has rounded, so that each sums to 1."""
    wide = np.asarray(probabilities, dtype=np.float64)
    scaled: Array = wide / wide.sum(axis=1, keepdims=True)
    return scaled


def one_hot(labels: "np.ndarray[Any, np.dtype[np.int64]]", n_classes: int) -> Array:
    """Make the oracle's probabilities: 1 for the true class. Returns (n_images, n_classes)."""
    found: Array = np.eye(n_classes)[labels]
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
    has_extent = extent > 1e-9 * max(float(extent.max()), FLOOR)
    scale = np.where(has_extent, embedding.signs / np.where(has_extent, extent, 1.0) ** 2, 0.0)
    placed: Array = centred @ embedding.coordinates * scale
    return placed


def _upright(vectors: Array) -> Array:
    """Choose each axis' direction: the entry of the largest size is positive."""
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return np.where(signs == 0, 1.0, signs)
