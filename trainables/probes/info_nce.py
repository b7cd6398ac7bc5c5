"""The InfoNCE lower bound on the mutual information of images and responses.

Paper: the test set as one batch of K; with c = cos/(τβ), mean_i [ c_ii − log (1/K) Σ_j exp c_ij ],
which never exceeds log K (van den Oord et al., 2018). Natural units.
"""

import math
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, np.dtype[np.float64]]

BETAS: Final = np.logspace(-2, 2, 1000)
"""The paper's grid of factors of the temperature."""
STRIDE: Final = 32
"""The search for the best factor first tries one in so many."""
BLOCK: Final = 1 << 24
"""Entries of scaled critics in memory at once, as float64."""


def info_nce(critic: Tensor) -> float:
    """Bound the information that rows and columns share: mean_i [c_ii − log (1/K) Σ_j exp c_ij].

    critic: (K, K), row i and column i of one pair. Nats; at most log K.
    """
    critic = critic.double()
    normaliser = torch.logsumexp(critic, dim=1) - math.log(len(critic))
    return float((critic.diagonal() - normaliser).mean())


def bounds(cosines: Tensor, temperature: float, betas: Array = BETAS) -> Array:
    """Bound the information at every β of betas, in blocks of bounded memory.

    cosines: (K, K), row j an image, column i a response, as in the loss, in which each image picks
    its response. Returns (len(betas),) nats.
    """
    scale = 1 / (temperature * torch.from_numpy(betas).to(cosines.device))
    wide, own = cosines.double(), cosines.double().diagonal()
    found = []
    for part in torch.split(scale, max(1, BLOCK // wide.numel())):
        normaliser = torch.logsumexp(part.view(-1, 1, 1) * wide, dim=2) - math.log(len(wide))
        found.append((part.view(-1, 1) * own - normaliser).mean(dim=1))
    values: Array = torch.cat(found).cpu().numpy()
    return values


def bound(cosines: Tensor, temperature: float, beta: float) -> float:
    """Bound the information at one β; as :func:`bounds`."""
    return info_nce(cosines.double() / (temperature * beta))


def best_beta(cosines: list[Tensor], temperature: float) -> float:
    """Choose the β of BETAS with the highest bound, averaged over batches of pairs.

    cosines: of each batch, (K, K). The bound is concave in 1/β (linear less a log-sum-exp), so that
    the best of all is next to the best of every few.
    """
    coarse = STRIDE * _best(cosines, temperature, BETAS[::STRIDE])
    first = max(0, coarse - STRIDE + 1)
    return float(BETAS[first + _best(cosines, temperature, BETAS[first : coarse + STRIDE])])


def _best(cosines: list[Tensor], temperature: float, betas: Array) -> int:
    """Find the position of the β with the highest mean bound, the first of equals."""
    return int(np.argmax(np.mean([bounds(one, temperature, betas) for one in cosines], axis=0)))
