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
    return _scale_each(images, means, stds)


def _scale_each(images: Tensor, means: Channels, stds: Channels) -> Tensor:
    """Scale images one by one, so that the passes over one find it in a processor's cache."""
    is_last = images.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if is_last else torch.contiguous_format
    size = (1, *images.shape[1:])
    mean, std = (  # as large as an image: three values side by side are too few for a vector
        torch.tensor(one, device=images.device)[None, :, None, None]
        .expand(size)
        .contiguous(memory_format=layout)[0]
        for one in (means, stds)
    )
    scaled = torch.empty_like(images, dtype=torch.float32)
    for number, image in enumerate(images):
        scaled[number].copy_(image).div_(255).sub_(mean).div_(std)
    return scaled


@cache
def _factor_and_offset(
    means: Channels, stds: Channels, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return what a pixel is multiplied by and what is added, each (1, 3, 1, 1) on the device."""
    factor = [1 / (255 * std) for std in stds]
    offset = [-mean / std for mean, std in zip(means, stds, strict=True)]
    both = torch.tensor([factor, offset], device=device).view(2, 1, 3, 1, 1)
    return both[0], both[1]
