"""The memory layout of images and convolutions: channels last where a GPU computes faster so."""

import torch
from torch import Tensor, nn

from trainables.compute.failures import device_failure
from trainables.compute.numerics import Numerics


def choose_layout(backbone: nn.Module, image_size: int, numerics: Numerics) -> nn.Module:
    """Put a backbone that is on a GPU into the layout that it is fine-tuned in; return it.

    Tensor cores read the channels of a pixel together. A backbone stays as it is on a CPU, in
    deterministic trials, and if it does not accept images in that layout: code of users may call
    ``view``, which wants the usual one.
    """
    parameter = next(backbone.parameters())
    if not parameter.is_cuda or numerics.deterministic:
        return backbone
    backbone.to(memory_format=torch.channels_last)
    if not _accepts_channels_last(backbone, image_size, parameter.device):
        backbone.to(memory_format=torch.contiguous_format)
    return backbone


def _accepts_channels_last(backbone: nn.Module, image_size: int, device: torch.device) -> bool:
    images = torch.zeros(2, 3, image_size, image_size, device=device)
    was_training = backbone.training
    try:
        with torch.no_grad():
            backbone.eval()(images.contiguous(memory_format=torch.channels_last))
    except RuntimeError as error:
        if device_failure(error) is not None:
            raise
        return False
    finally:
        backbone.train(was_training)
    return True


def layout_of(network: nn.Module) -> torch.memory_format:
    """Return the layout of a network's convolutions."""
    weights = (one for one in network.parameters() if one.ndim == 4 and not one.is_contiguous())
    is_last = any(one.is_contiguous(memory_format=torch.channels_last) for one in weights)
    return torch.channels_last if is_last else torch.contiguous_format


def restride(value: Tensor, like: Tensor) -> Tensor:
    """Return a tensor of a parameter's shape in the parameter's layout."""
    if value.shape != like.shape or value.stride() == like.stride():
        return value
    return torch.empty_like(like, dtype=value.dtype).copy_(value)
