"""The protocols: which images choose a layer and an alpha, and which images measure r.

``nested`` chooses by cross-validation within the training images and measures r once on the
test images. ``clean`` does the same with the last fifth of the training images, which no backbone
was tuned on. ``paper`` chooses and reports on the same folds within the test images, and
``released`` on folds within the training images, which a fine-tuned backbone has seen: both
optimistic.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from trainables.compute.numerics import FAST, Numerics
from trainables.compute.precision import full_float32
from trainables.compute.warm_subspace import Start
from trainables.encoding.pca import Layer
from trainables.encoding.ridge import Fold, correlate, correlate_each
from trainables.encoding.split_sizes import MIN_ROWS, REFITTED, count_clean
from trainables.encoding.warm_start import fit_whole
from trainables.spec import CLEAN, Encoding, Protocol

Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Split:
    """A subject's images by row of the features and responses, in the split's order."""

    train: Rows
    test: Rows
    n_images: int
    """Images of the subject's split, N, also when not all of them are rows here."""
    unmeasured: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    """Rows that r is not measured on; ``nested`` and ``clean`` may still choose and fit on them."""
    n_clean: int | None = None
    """Number of rows of ``clean``; None: CLEAN_SHARE of the training rows."""
    n_trials: Rows | None = None
    """(n_rows,) trials that each row's responses are the mean of, and each of which a fit counts as
    a row of its own; None: a fit counts each image once."""

    @property
    def clean(self) -> Rows:
        """The last training rows, which are held back where ``clean`` is scored."""
        n = self.n_clean if self.n_clean is not None else count_clean(len(self.train))
        return self.train[len(self.train) - n :]

    @property
    def released(self) -> Rows:
        """Rows of the ``released`` protocol: the first ⌊0.75 N⌋ + ⌊0.1 N⌋ of the permutation."""
        return self._measured(self.train[: self.n_images * 3 // 4 + self.n_images // 10])

    def without(self, rows: Rows) -> "Split":
        """Return the split whose r is not measured on these rows.

        They leave the test images, so the folds of ``paper`` are made of the others, and the
        images that the folds of ``released`` are made of. Training images of ``nested`` stay.
        """
        split = replace(self, unmeasured=rows)
        return replace(split, test=split._measured(self.test))

    def _measured(self, rows: Rows) -> Rows:
        return rows[~np.isin(rows, self.unmeasured)]

    def weights(self, rows: Rows) -> Tensor | None:
        """Return how often a fit counts each of the rows: (n,) float64; None: once."""
        if self.n_trials is None:
            return None
        return torch.from_numpy(self.n_trials[rows].astype(np.float64))

    def rows_for(self, protocol: Protocol) -> Rows:
        """List the rows that a protocol uses."""
        if protocol in REFITTED:
            return np.concatenate([self._fitted_by(protocol), self.test])
        return self.test if protocol == "paper" else self.released

    def _fitted_by(self, protocol: Protocol) -> Rows:
        return self.clean if protocol == CLEAN else self.train

    def compact(self, protocols: Sequence[Protocol]) -> tuple[Rows, "Split"]:
        """List the rows that the protocols need, ascending, and the split of only those rows.

        Images that no protocol uses need not pass through the backbone.
        """
        rows = np.unique(np.concatenate([self.rows_for(protocol) for protocol in protocols]))
        train, test, unmeasured = (
            np.searchsorted(rows, side[np.isin(side, rows)])
            for side in (self.train, self.test, self.unmeasured)
        )
        n_trials = None if self.n_trials is None else self.n_trials[rows]
        return rows, Split(train, test, self.n_images, unmeasured, len(self.clean), n_trials)


def contiguous_folds(rows: Rows, n_folds: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut rows into n_folds contiguous blocks of ⌊n / n_folds⌋, each held out once.

    The n mod n_folds last rows are in no held-out block and in every training part.
    Yields (training rows, held-out rows). Raises ValueError when a block is too small for r.
    """
    size = len(rows) // n_folds
    if size < MIN_ROWS:
        raise ValueError(
            f"encoding: {len(rows)} images in {n_folds} folds, but a fold needs {MIN_ROWS} to "
            f"correlate over; give at least {MIN_ROWS * n_folds} images, or fewer folds"
        )
    for start in range(0, size * n_folds, size):
        held_out = rows[start : start + size]
        training = np.concatenate([rows[:start], rows[start + size :]])
        yield torch.from_numpy(training), torch.from_numpy(held_out)


@dataclass(frozen=True)
class LayerScores:
    """One layer under one protocol; every tensor is (n_vertices,) float64."""

    alpha: Tensor
    """The alpha of highest mean r over folds; NaN where there is no r."""
    choice: Tensor
    """That mean r, by which layers are chosen."""
    r: Tensor
    """The reported r."""
    refit: Fold | None = None
    """The one fold that r was measured on; None where r is a mean over several."""


def score_layer(
    protocol: Protocol,
    layer: Layer,
    Y: Tensor,
    split: Split,
    encoding: Encoding,
    numerics: Numerics = FAST,
) -> LayerScores:
    """Choose each vertex's alpha on a layer and measure r as the protocol says.

    Y: (n_images, n_vertices) on the layer's device, rows as the layer's.
    A vertex whose responses are constant in any part of any fold has no r: NaN.
    Raises ValueError when there are too few images for the folds or for the test.
    """
    if protocol in REFITTED and len(split.test) < MIN_ROWS:
        raise ValueError(
            f"{protocol}: {len(split.test)} test images, expected at least {MIN_ROWS}; "
            "ingest the subject with a larger test share"
        )
    with full_float32():
        return _SCORERS[protocol](layer, Y, split, encoding, numerics)


def _score_nested(
    layer: Layer, Y: Tensor, split: Split, encoding: Encoding, numerics: Numerics
) -> LayerScores:
    return _score_refitted(layer, Y, split, split.train, encoding, numerics)


def _score_clean(
    layer: Layer, Y: Tensor, split: Split, encoding: Encoding, numerics: Numerics
) -> LayerScores:
    return _score_refitted(layer, Y, split, split.clean, encoding, numerics)


def _score_refitted(
    layer: Layer, Y: Tensor, split: Split, fitted: Rows, encoding: Encoding, numerics: Numerics
) -> LayerScores:
    """Choose alpha within the fitted rows, fit on all of them, and measure r on the test rows."""
    rows = torch.from_numpy(fitted), torch.from_numpy(split.test)
    refit, start = fit_whole(layer, rows, encoding, numerics, split.weights(fitted))
    alpha, choice = _cross_validate(layer, Y, split, fitted, encoding, numerics, start)
    r = correlate_each(refit, Y, alpha)
    return LayerScores(torch.where(r.isnan(), torch.nan, alpha), choice, r, refit)


def _score_paper(
    layer: Layer, Y: Tensor, split: Split, encoding: Encoding, numerics: Numerics
) -> LayerScores:
    alpha, r = _cross_validate(layer, Y, split, split.test, encoding, numerics)
    return LayerScores(alpha, r, r)


def _score_released(
    layer: Layer, Y: Tensor, split: Split, encoding: Encoding, numerics: Numerics
) -> LayerScores:
    alpha, r = _cross_validate(layer, Y, split, split.released, encoding, numerics)
    return LayerScores(alpha, r, r)


_Scorer = Callable[[Layer, Tensor, Split, Encoding, Numerics], LayerScores]
_SCORERS: Final[dict[Protocol, _Scorer]] = {
    "nested": _score_nested,
    "clean": _score_clean,
    "paper": _score_paper,
    "released": _score_released,
}


def _cross_validate(
    layer: Layer,
    Y: Tensor,
    split: Split,
    rows: Rows,
    encoding: Encoding,
    numerics: Numerics,
    start: Start | None = None,
) -> tuple[Tensor, Tensor]:
    """Return each vertex's alpha of highest mean r over folds, and that mean r."""
    total = torch.zeros(len(encoding.alphas), Y.shape[1], dtype=torch.float64, device=Y.device)
    for training, held_out in contiguous_folds(rows, encoding.n_folds):
        weights = split.weights(training.numpy())
        fold = Fold.fit(layer, training, held_out, encoding.n_components, numerics, weights, start)
        total += correlate(fold, Y, encoding.alphas)  # NaN in one fold is NaN in the mean
    best = total.nan_to_num(nan=-torch.inf).argmax(dim=0)
    r = total.gather(0, best[None])[0] / encoding.n_folds
    alphas = torch.tensor(encoding.alphas, dtype=torch.float64, device=Y.device)
    return torch.where(r.isnan(), torch.nan, alphas[best]), r


def n_scored(protocol: Protocol, split: Split, n_folds: int) -> int:
    """Count the images that a protocol's r is measured on."""
    if protocol in REFITTED:
        return len(split.test)
    return len(split.rows_for(protocol)) // n_folds * n_folds
