"""Small networks of the usual families, with random weights, for images of 16 x 16 pixels."""

from collections.abc import Callable
from typing import Final

import timm
import torch
from torch import nn
from torchvision.models import VisionTransformer

N_LOGITS: Final = 12


def cnn() -> nn.Module:
    """Convolutions, one of them with groups, and batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 8, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(32, N_LOGITS),
    )


def torchvision_vit() -> nn.Module:
    """torchvision's vision transformer, whose head is zero until it is trained."""
    network = VisionTransformer(16, 8, 2, 2, 16, 32, num_classes=N_LOGITS)
    nn.init.normal_(network.heads[0].weight)
    return network


def timm_vit() -> nn.Module:
    """timm's vision transformer."""
    network: nn.Module = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=16,
        patch_size=8,
        embed_dim=16,
        depth=2,
        num_heads=2,
        num_classes=N_LOGITS,
    )
    return network


def timm_convnext() -> nn.Module:
    """timm's ConvNeXt, which has depthwise convolutions and linear layers."""
    network: nn.Module = timm.create_model(
        "convnext_atto", depths=(1,) * 4, dims=(8, 8, 16, 16), patch_size=1, num_classes=N_LOGITS
    )
    return network


NETWORKS: Final[dict[str, Callable[[], nn.Module]]] = {
    one.__name__: one for one in (cnn, torchvision_vit, timm_vit, timm_convnext)
}


def network_of(name: str) -> nn.Module:
    """Build one of NETWORKS, with the same weights at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return NETWORKS[name]()
