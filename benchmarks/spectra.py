"""Gram matrices to measure with, as features of a backbone might have them."""

import torch
from torch import Tensor


def plausible_gram(n: int, device: torch.device) -> Tensor:
    """Make a Gram matrix whose spectrum falls as features' do, by a power of the rank."""
    generator = torch.Generator().manual_seed(0)
    m = min(2 * n, 4096)
    X = torch.randn(n, m, generator=generator).to(device)
    X *= torch.arange(1, m + 1, device=device) ** -0.6
    K = (X @ X.T).double()
    return K + K.diagonal().mean() * 1e-3 * torch.eye(n, dtype=K.dtype, device=device)
