"""The one tiny backbone of the tests."""

import torch
from torch import nn


def tiny_backbone(
    image_size: int = 32,
    width: int = 8,
    n_logits: int = 20,
    hidden: int | None = None,
    dropout: float = 0.2,
) -> nn.Module:
    """Build a backbone of two layers: "1", maps of ``width`` channels, and "4", its logits.

    It has dropout, as AlexNet has, and the same weights at every call. hidden: units of one more
    layer between the two; its logits are then layer "6".
    """
    n_features = width * (image_size // 4) ** 2
    with torch.random.fork_rng():
        torch.manual_seed(1)
        last = (
            [nn.Linear(n_features, n_logits)]
            if hidden is None
            else [nn.Linear(n_features, hidden), nn.ReLU(), nn.Linear(hidden, n_logits)]
        )
        return nn.Sequential(
            nn.Conv2d(3, width, 4, stride=4),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Dropout(dropout),
            *last,
        )
