"""Embeddings of earlier responses, which are negatives beside those of a small batch."""

import torch
from torch import Tensor, nn


class ResponseMemory(nn.Module):
    """Hold the embeddings of the last ``size`` responses of an epoch, without gradients.

    It is emptied when an epoch begins, so no image has its own response among the negatives, and
    checkpoints need not hold it. Its content is no part of the state dict.
    """

    held: Tensor

    def __init__(self, size: int, n_dimensions: int) -> None:
        super().__init__()
        self._size = size
        self.register_buffer("held", torch.empty(0, n_dimensions), persistent=False)

    def add(self, embeddings: Tensor) -> None:
        """Remember a batch, (n, n_dimensions), in place of the oldest embeddings."""
        self.held = torch.cat([embeddings.detach(), self.held])[: self._size]

    def clear(self) -> None:
        """Forget all embeddings."""
        self.held = self.held[:0]
