"""Features of known spectra, responses, and r by ridge."""

import numpy as np
import torch
from torch import Tensor

from trainables.encoding.pca import gram
from trainables.encoding.ridge import score_fold

ALPHAS = tuple(10.0**power for power in range(-1, 8))
N, N_TRAIN, N_VERTICES = 260, 200, 12
TRAIN, TEST = torch.arange(N_TRAIN), torch.arange(N_TRAIN, N)


def ours(X: Tensor, Y: Tensor, n_components: int = 1000, train=TRAIN, test=TEST) -> np.ndarray:
    return score_fold(gram([X]), (train, test), Y, ALPHAS, n_components).numpy()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed))


def responses(X: Tensor, seed: int = 1) -> Tensor:
    """Responses that the features explain half of."""
    Z = X.double() - X.double().mean(0)
    signal = Z @ normal(X.shape[1], N_VERTICES, seed=seed).double()
    return (signal / signal.std(0) + normal(len(X), N_VERTICES, seed=seed + 1)).float()


def decaying(n_features: int, low: float) -> Tensor:
    return normal(N, n_features) * torch.logspace(2, low, n_features)


SPECTRA = {
    "plain": normal(N, 600),
    "a mean of 10,000": normal(N, 600) + 1e4,
    "a mean of its own for each feature": 0.1 * normal(N, 600) + 1e3 * normal(1, 600, seed=5),
    "decaying by 6 decades": decaying(600, -4),
    "fewer features than images": decaying(80, -2),
    "one feature": normal(N, 1),
    "each image twice": normal(N, 600)[torch.arange(N) // 2],
    "rank 20": normal(N, 20) @ normal(20, 600, seed=5),
    "small": 1e-4 * normal(N, 600),
    "large": 1e5 * normal(N, 600),
    "mostly zero, as after a ReLU": torch.relu(normal(N, 600) - 2),
}


def small(seed: int) -> tuple[Tensor, Tensor]:
    return normal(45, 25, seed=seed), normal(45, 6, seed=seed + 1).double()
