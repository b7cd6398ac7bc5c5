"""Two augmented views of every image of a batch, for self-supervised fine-tuning.

Each view is a random crop, resized to the image's size, mirrored or not, with its brightness,
contrast, saturation and hue changed, or without colour. Whatever is random is drawn for the whole
batch from torch's CPU generator, so that views are repeatable on every device, and processes that
share a batch draw alike.
"""

import math
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from trainables.compute.device import to_device
from trainables.compute.precision import full_float32
from trainables.spec import Finetuned, SelfSupervised
from trainables.training.batches import Batch
from trainables.training.distributed import TrialProcessGroup

N_DRAWS: Final = 11
"""Uniform numbers from which a view is made."""
LONGEST_SIDE: Final = 4 / 3
"""The largest ratio of a crop's sides."""
P_JITTER: Final = 0.8
"""Probability that a view's colours are changed."""
P_GREY: Final = 0.2
"""Probability that a view has no colour."""
SPREAD, HUE_SPREAD = 0.8, 0.2
"""Largest change of brightness, contrast and saturation, as shares; of hue, in turns."""
LUMA: Final = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value."""
YIQ: Final = (LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
"""Grey value and two colour axes, between which a hue turns."""

INVERSE: Final = tuple(map(tuple, torch.linalg.inv(torch.tensor(YIQ)).tolist()))
"""The inverse of YIQ."""


def training_images(objective: Finetuned, batch: Batch, process_group: TrialProcessGroup) -> Tensor:
    """Return the images that a process embeds of a batch: its views if self-supervised."""
    if not isinstance(objective, SelfSupervised):
        return batch.images
    draws = torch.rand(batch.n_images, 2, N_DRAWS)
    own = draws[process_group.share(batch.n_images)]
    return two_views(batch.images, own, objective)


def two_views(images: Tensor, draws: Tensor, objective: SelfSupervised) -> Tensor:
    """Make two views of each image, the two of image i in rows 2i and 2i + 1.

    images: (n, 3, s, s) uint8. draws: (n, 2, N_DRAWS) from 0 to 1. Returns (2n, 3, s, s) float32,
    from 0 to 255.
    """
    each = to_device(draws.flatten(0, 1), images.device)
    with full_float32():  # training's TF32 would move pixels
        cropped = _crop(images.repeat_interleave(2, dim=0).float(), each[:, :5], objective)
        return _recolour(cropped, each[:, 5:], objective.colour_strength)


def _crop(images: Tensor, draws: Tensor, objective: SelfSupervised) -> Tensor:
    """Crop, resize and mirror. draws: (n, 5): area, ratio, place across and down, mirror."""
    area = objective.smallest_crop + (1 - objective.smallest_crop) * draws[:, 0]
    ratio = torch.exp(math.log(LONGEST_SIDE) * (2 * draws[:, 1] - 1))
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    mirror = torch.where(draws[:, 4] < 0.5, -1.0, 1.0)
    theta = images.new_zeros(len(images), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = mirror * width, height
    theta[:, 0, 2] = (2 * draws[:, 2] - 1) * (1 - width)
    theta[:, 1, 2] = (2 * draws[:, 3] - 1) * (1 - height)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _recolour(images: Tensor, draws: Tensor, strength: float) -> Tensor:
    """Change colours. draws: (n, 6): jitter, brightness, contrast, saturation, hue, grey."""
    is_changed = draws[:, 0] < P_JITTER
    changes = torch.where(is_changed[:, None], strength * (2 * draws[:, 1:5] - 1), 0.0)
    brightness, contrast, saturation = (1 + SPREAD * changes[:, :3]).unbind(1)
    saturation = torch.where(draws[:, 5] < P_GREY, 0.0, saturation)
    luma = _constant(LUMA, images.device)
    lit = images * brightness.view(-1, 1, 1, 1)
    grey = torch.einsum("c,nchw->n", luma, lit) / (images.shape[2] * images.shape[3])
    lit = torch.lerp(grey.view(-1, 1, 1, 1), lit, contrast.view(-1, 1, 1, 1))
    turned = _hue_turn(2 * math.pi * HUE_SPREAD * changes[:, 3])
    identity, to_grey = torch.eye(3, device=images.device), luma.expand(3, 3)
    mixed = torch.lerp(to_grey, identity, saturation.view(-1, 1, 1))
    return torch.einsum("nij,njhw->nihw", turned @ mixed, lit).clamp(0, 255)


def _hue_turn(angles: Tensor) -> Tensor:
    """Make the matrices that turn hues: (n,) radians -> (n, 3, 3), on red, green and blue."""
    yiq = _constant(YIQ, angles.device)
    turn = torch.zeros(len(angles), 3, 3, device=angles.device)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = angles.cos()
    turn[:, 2, 1] = angles.sin()
    turn[:, 1, 2] = -angles.sin()
    turned: Tensor = _constant(INVERSE, angles.device) @ turn @ yiq
    return turned


@cache
def _constant(values: tuple[float, ...] | tuple[tuple[float, ...], ...], device: Any) -> Tensor:
    """Make a tensor of constants once for each device."""
    return torch.tensor(values, device=device)
