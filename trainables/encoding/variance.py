"""Variance partitioning: what two sets of features explain of responses, each alone and both.

With R² of held-out images, 1 − Σ(y − ŷ)² / Σ(y − ȳ)², what is unique to one set is R² of both
minus R² of the other alone, and what they share is the sum of R² of each minus R² of both. Nothing
is clipped: where a set adds nothing, R² of both is on average a little lower, as more penalties are
chosen from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from trainables.encoding.banded_ridge import (
    TWO_BANDS,
    Gammas,
    candidates_for,
    choose_penalties,
    predict,
)
from trainables.encoding.bands import NetworkBands
from trainables.encoding.protocols import Rows, contiguous_folds

MODELS: Final = ("untuned", "tuned", "joint", "untuned_banded", "tuned_banded")
"""The encoding models: of all layers concatenated of each network, of both (a band each), and of
each network with a band per layer."""


@dataclass(frozen=True)
class Explained:
    """What a model explains of held-out responses, and what each image adds to the means."""

    r: Tensor
    """(n_vertices,) Pearson r; NaN where responses or predictions are constant."""
    r2: Tensor
    """(n_vertices,) R²; NaN where responses are constant."""
    r_effects: Tensor
    """(n_images,) effects on the mean r over the vertices that every model has an r of."""
    r2_effects: Tensor
    """(n_images,) the same of the mean R²."""


@dataclass(frozen=True)
class Task:
    """The responses of an ROI, and the rows that penalties are chosen, fitted and measured on."""

    Y: Tensor
    """(n_images, n_vertices) float64."""
    fitted: Rows
    measured: Rows
    n_folds: int
    alphas: Sequence[float]
    n_trials: Rows | None = None
    """(n_images,) how often a fit counts each row; None: once."""

    def predict(self, bands: Sequence[Tensor], gammas: Gammas) -> Tensor:
        """Choose penalties within the fitted rows, fit these, and predict the measured ones."""
        folds = [
            (train.to(self.Y.device), held_out.to(self.Y.device))
            for train, held_out in contiguous_folds(self.fitted, self.n_folds)
        ]
        weights = None if self.n_trials is None else self._rows(self.n_trials).to(self.Y)
        penalties = choose_penalties(bands, self.Y, folds, gammas, self.alphas, weights)
        rows = (self._rows(self.fitted), self._rows(self.measured))
        return predict(bands, self.Y, rows, penalties, weights)

    @property
    def responses(self) -> Tensor:
        """The measured responses: (n_measured, n_vertices)."""
        return self.Y[self._rows(self.measured)]

    def _rows(self, rows: Rows) -> Tensor:
        return torch.from_numpy(rows).to(self.Y.device)


def partition(task: Task, untuned: NetworkBands, tuned: NetworkBands) -> dict[str, Explained]:
    """Fit every model of MODELS to an ROI's responses; return what each explains.

    The model of a network alone has the candidates of the joint one in which the other network has
    no share, so that the comparison is of features and not of regressions.
    """
    alone: Gammas = ((1.0,),)
    both = (untuned.concatenated, tuned.concatenated)
    by_layer = candidates_for(len(untuned.layers))
    predicted = {
        "untuned": task.predict((untuned.concatenated,), alone),
        "tuned": task.predict((tuned.concatenated,), alone),
        "joint": task.predict(both, TWO_BANDS),
        "untuned_banded": task.predict(untuned.layers, by_layer),
        "tuned_banded": task.predict(tuned.layers, by_layer),
    }
    return explain(task.responses, predicted)


def explain(measured: Tensor, predicted: Mapping[str, Tensor]) -> dict[str, Explained]:
    """Compute r, R² and the images' effects. measured, predicted: (n_images, n_vertices) float64.

    An image's effect is its part of the mean (infinitesimal jackknife); the sum of squared effects
    estimates the variance of the mean over images, and likewise of sums and differences of them.
    """
    z, spread = _standardise(measured)
    scores = {name: _scores(z, (values - measured) / spread) for name, values in predicted.items()}
    defined = torch.stack([(r + r2).isfinite() for r, r2, _ in scores.values()]).all(dim=0)
    n = len(measured)
    scale = (n * (n - 1)) ** -0.5
    found = {}
    for name, (r, r2, errors) in scores.items():
        x, _ = _standardise((z + errors)[:, defined])
        y, known, left = z[:, defined], r[defined], errors[:, defined]
        on_r = x * y - known / 2 * (x.square() + y.square())
        on_r2 = (1 - r2[defined]) * y.square() - left.square()
        means = (one.mean(dim=1) if defined.any() else z.new_zeros(n) for one in (on_r, on_r2))
        on_r, on_r2 = (scale * one for one in means)
        found[name] = Explained(r, r2, on_r, on_r2)
    return found


def _scores(z: Tensor, errors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return r, R² and the errors. z: standardised responses. errors: in the same unit."""
    x, _ = _standardise(z + errors)
    return (x * z).mean(dim=0), 1 - errors.square().mean(dim=0), errors


def _standardise(values: Tensor) -> tuple[Tensor, Tensor]:
    """Standardise columns over rows; return them and their standard deviations, NaN where 0.

    The first row is taken off first, so that a constant column is exactly 0.
    """
    centred = values - values[:1]
    centred = centred - centred.mean(dim=0)
    spread = centred.square().mean(dim=0).sqrt()
    spread = torch.where(spread > 0, spread, torch.nan)
    return centred / spread, spread
