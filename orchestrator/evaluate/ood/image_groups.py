"""Groups of images that a cross-validation over images keeps together, since they are alike."""

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

Array = np.ndarray[Any, Any]
Groups = np.ndarray[Any, np.dtype[np.int64]]

SIZE: Final = 32
"""Height and width that images are averaged to before they are compared."""
ALIKE: Final = 0.9
"""The least absolute correlation of the pixels of two near-copies, such as one picture at two
contrasts, or its negative."""
BATCH: Final = 64


def image_groups(images: Tensor, subclasses: Array) -> Groups:
    """Divide images into groups of similar images: (n_images,), the number of each one's, from 0.

    Images of one subclass are in one group, and so are near-copies, and what either joins. Images
    of one colour are copies of each other.

    images: (n_images, 3, size, size) uint8. subclasses: (n_images,) text.
    """
    from scipy.sparse.csgraph import connected_components

    pixels = _standardised(images)
    is_blank: Array = np.logical_not(pixels.any(axis=1))
    alike: Array = np.abs(pixels @ pixels.T) >= ALIKE
    alike |= is_blank[:, None] & is_blank
    alike |= subclasses[:, None] == subclasses
    numbers: Groups = connected_components(alike, directed=False)[1].astype(np.int64)
    return numbers


def _standardised(images: Tensor) -> Array:
    """Return small images, each of unit norm after each channel's mean is taken off; 0 if blank."""
    size = min(SIZE, images.shape[-1])
    parts = [
        adaptive_avg_pool2d(one.float(), size).flatten(2) for one in torch.split(images, BATCH)
    ]
    pixels = torch.cat(parts).double().numpy()
    pixels -= pixels.mean(axis=2, keepdims=True)
    flat = pixels.reshape(len(pixels), -1)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    is_blank = norms < 1e-3 * np.sqrt(flat.shape[1])  # less than rounding of a value
    found: Array = np.where(is_blank, 0, flat / np.where(is_blank, 1, norms))
    return found


def grouped_folds(groups: Groups, n_folds: int) -> list[Groups]:
    """Divide images into folds that keep groups together: the rows of each fold, ascending.

    The largest group is added first, each to the fold that has the fewest images yet. There are
    n_folds of them, or as many as groups.
    """
    names, sizes = np.unique(groups, return_counts=True)
    filled = np.zeros(min(n_folds, len(names)), np.int64)
    fold_of = {}
    for place in np.argsort(-sizes, kind="stable"):
        fold = int(filled.argmin())
        fold_of[int(names[place])] = fold
        filled[fold] += sizes[place]
    folds = np.array([fold_of[int(name)] for name in groups], np.int64)
    return [np.flatnonzero(folds == number) for number in range(len(filled))]
