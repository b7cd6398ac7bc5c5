"""Count a backbone's operations and bytes, without computing anything."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from trainables.models import backbones
from trainables.models.backbone_facts import BackboneSize
from trainables.models.layers import accepting_images
from trainables.spec import Backbone


def measure_backbone(backbone: Backbone, image_size: int) -> BackboneSize:
    """Count a backbone's operations and bytes for one image, without computing the output.

    Raises ValueError if there is no such backbone, or if it does not accept images of that size.
    """
    with torch.device("meta"):
        network = backbones.build_untrained(backbone).eval()
        image = torch.zeros(1, 3, image_size, image_size)
    outputs: list[int] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs.append(output.numel() * output.element_size())

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(note)
    with (
        accepting_images(image_size, backbone.architecture),
        FlopCounterMode(display=False) as counter,
        torch.no_grad(),
    ):
        network(image)
    parameters = sum(p.numel() * p.element_size() for p in network.parameters())
    return BackboneSize(float(counter.get_total_flops()), sum(outputs), parameters)
