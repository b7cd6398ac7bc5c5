"""Multinomial logistic regression on standardised features: scikit-learn's, or torch's on a GPU.

Both minimise C · Σ_n −log p(label_n) + ½ ‖W‖², the intercepts unpenalised; p is the softmax.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional

C: Final = 1.0
MAX_ITERATIONS: Final = 2000
TOLERANCE: Final = 1e-6
"""Largest entry of the mean loss' gradient at which a fit has converged."""


@dataclass(frozen=True)
class Head:
    """A linear classifier on features as they are: its standardisation is folded in.

    logits = features · weight.T + bias. weight: (n_classes, n_features), bias: (n_classes,).
    """

    weight: Tensor
    bias: Tensor
    converged: bool

    def logits(self, features: Tensor) -> Tensor:
        """Score the classes: (n, n_features) -> (n, n_classes), in float64."""
        return features.double() @ self.weight.T + self.bias


def fit_head(features: Tensor, labels: Tensor, n_classes: int) -> Head:
    """Standardise features by their own mean and deviation, and fit a head.

    features: (n, n_features) float32. labels: (n,) int64, each class at least once. On a CPU by
    scikit-learn's LogisticRegression, on a GPU by :func:`minimise`.
    """
    mean = features.mean(dim=0, dtype=torch.float64)
    std = features.double().std(dim=0, correction=0)
    std = torch.where(std > 0, std, torch.ones_like(std))  # a constant feature says nothing
    X = ((features.double() - mean) / std).to(features.dtype)
    fit = minimise if features.device.type == "cuda" else fit_by_scikit_learn
    weight, bias, converged = fit(X, labels, n_classes)
    folded = weight / std
    return Head(folded, bias - folded @ mean, converged)


def fit_by_scikit_learn(X: Tensor, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor, bool]:
    """Fit by scikit-learn's lbfgs; return weight, bias, and whether it converged.

    Of two classes scikit-learn penalises the difference of their weights, which is twice as much.
    """
    model = LogisticRegression(
        C=2 * C if n_classes == 2 else C, max_iter=MAX_ITERATIONS, tol=TOLERANCE
    )
    model.fit(X.double().numpy(), labels.numpy())
    weight, bias = torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_)
    if n_classes == 2:
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    return weight, bias, bool(np.max(model.n_iter_) < MAX_ITERATIONS)


def minimise(X: Tensor, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor, bool]:
    """Fit by torch's L-BFGS on the features' device; the loss is summed in float64."""
    n, n_features = X.shape
    weight = X.new_zeros(n_classes, n_features).requires_grad_()
    bias = X.new_zeros(n_classes).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [weight, bias],
        max_iter=MAX_ITERATIONS,
        max_eval=2 * MAX_ITERATIONS,
        tolerance_grad=TOLERANCE,
        tolerance_change=1e-12,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss: Tensor = functional.cross_entropy((X @ weight.T + bias).double(), labels)
        loss = loss + weight.double().square().sum() / (2 * C * n)
        torch.autograd.backward(loss)
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    closure()
    largest = max(float(part.grad.abs().max()) for part in (weight, bias) if part.grad is not None)
    return weight.detach().double(), bias.detach().double(), largest < 100 * TOLERANCE
