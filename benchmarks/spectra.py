"""Random Gram matrices with a realistic spectrum."""

import torch
from torch import Tensor


def plausible_gram(n: int, device: torch.device) -> Tensor:
    """Draw a Gram matrix whose eigenvalues fall by a power of their rank, as those of features."""
    generator = torch.Generator().manual_seed(0)
    m = min(2 * n, 4096)
    X = torch.randn(n, m, generator=generator).to(device)
    X *= torch.arange(1, m + 1, device=device) ** -0.6
    K = (X @ X.T).double()
    return K + K.diagonal().mean() * 1e-3 * torch.eye(n, dtype=K.dtype, device=device)
