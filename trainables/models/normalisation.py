"""Images as a backbone expects them: their centre, and pixels scaled by a mean and deviation."""

from functools import cache
from typing import Final

import torch
from torch import Tensor, nn

from trainables.compute.centre_crop import centre_of
from trainables.spec.backbone import IMAGENET_MEAN, IMAGENET_STD, Channels

PIXELS: Final = "pixel_statistics"
"""Attribute of networks whose mean and deviation are not ImageNet's; it is no weight."""
CROP: Final = "centre_crop"
"""Attribute of networks that are given the centre of the images: its pixels; it is no weight."""


def set_pixels(
    network: nn.Module, pixels: tuple[Channels, Channels], crop: int | None = None
) -> nn.Module:
    """Make normalise use a mean, a deviation and a crop for a network, and return the network.

    crop: pixels of the centre; None: the whole image.
    """
    if pixels != (IMAGENET_MEAN, IMAGENET_STD):
        setattr(network, PIXELS, pixels)
    if crop is not None:
        setattr(network, CROP, crop)
    return network


def normalise(images: Tensor, network: nn.Module | None = None) -> Tensor:
    """Crop images of 0 to 255 (n, 3, size, size) and scale them as a network expects them.

    Without a network, or for one that has no others: the whole images, and ImageNet's mean and
    standard deviation. Returns float32.
    """
    images = centre_of(images, getattr(network, CROP, None))
    means, stds = getattr(network, PIXELS, (IMAGENET_MEAN, IMAGENET_STD))
    if images.is_cuda:  # one pass over the batch, with two float32 multiplications fewer to round
        factor, offset = _factor_and_offset(means, stds, images.device)
        return torch.addcmul(offset, images, factor)
    mean, std = (torch.tensor(one, device=images.device).view(1, 3, 1, 1) for one in (means, stds))
    return images.to(torch.float32, copy=True).div_(255).sub_(mean).div_(std)


@cache
def _factor_and_offset(
    means: Channels, stds: Channels, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return what a pixel is multiplied by and what is added, each (1, 3, 1, 1) on the device."""
    factor = [1 / (255 * std) for std in stds]
    offset = [-mean / std for mean, std in zip(means, stds, strict=True)]
    both = torch.tensor([factor, offset], device=device).view(2, 1, 3, 1, 1)
    return both[0], both[1]
