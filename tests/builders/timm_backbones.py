"""Small networks of timm with random weights: a transformer, two CNNs and a ConvNeXt."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainables.models.backbone_facts import with_pixels
from trainables.models.backbones import build_scaled
from trainables.spec import FROM_FILE, Backbone

SIZE = 32


@dataclass(frozen=True)
class Network:
    """A network, two of its layers, and a late layer from which it can be tuned."""

    architecture: str
    layers: tuple[str, ...]
    late: str

    @property
    def backbone(self) -> Backbone:
        return with_pixels(Backbone(self.architecture, FROM_FILE))

    def build(self) -> nn.Module:
        """Build it with random weights, and statistics of normalisation that are not 0 and 1."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = build_scaled(self.backbone)
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean.normal_(std=0.1)
                    module.running_var.uniform_(0.5, 2)
                gamma = getattr(module, "gamma", None)
                if isinstance(gamma, nn.Parameter):  # a new ConvNeXt's blocks hardly act
                    nn.init.normal_(gamma)
        return network.eval()


VIT = Network(
    "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k", ("blocks.3:grid", "blocks.9:cls"), "blocks.2"
)
CONVNEXT = Network("timm/convnext_atto.d2_in1k", ("stages.1", "stages.2.blocks.3:mean"), "stages.1")
RESNET = Network("timm/resnet10t.c3_in1k", ("layer1", "layer3.0.add"), "layer1")
EFFICIENTNET = Network("timm/efficientnet_lite0.ra_in1k", ("blocks.2", "blocks.4.1"), "blocks.2")
NETWORKS = (VIT, CONVNEXT, RESNET, EFFICIENTNET)
NAMES = ["vit", "convnext", "resnet", "efficientnet"]


def some_images(n: int = 3, size: int = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)
