"""Pixels as a backbone expects them: scaled by the mean and deviation it was trained with."""

from typing import Final

import torch
from torch import Tensor, nn

from trainables.spec.backbone import IMAGENET_MEAN, IMAGENET_STD, Channels

PIXELS: Final = "pixel_statistics"
"""Attribute of networks whose mean and deviation are not ImageNet's; it is no weight."""


def set_pixels(network: nn.Module, pixels: tuple[Channels, Channels]) -> nn.Module:
    """Make normalise use a mean and a deviation for a network, and return the network."""
    if pixels != (IMAGENET_MEAN, IMAGENET_STD):
        setattr(network, PIXELS, pixels)
    return network


def normalise(images: Tensor, network: nn.Module | None = None) -> Tensor:
    """Scale uint8 images (n, 3, height, width) to a network's mean and standard deviation.

    Those of ImageNet without a network, or for one that has no others.
    """
    means, stds = getattr(network, PIXELS, (IMAGENET_MEAN, IMAGENET_STD))
    mean = images.new_tensor(means, dtype=torch.float32).view(1, 3, 1, 1)
    std = images.new_tensor(stds, dtype=torch.float32).view(1, 3, 1, 1)
    return (images.float() / 255 - mean) / std
