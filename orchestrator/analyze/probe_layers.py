"""Whether a backbone has the layers that probes read, before any is probed."""

import torch

from orchestrator.cli.errors import InputError
from trainables.models.backbones import build_untrained
from trainables.models.layers import layer_extractor
from trainables.spec import Backbone
from trainables.wording import meant


def check_probe_layers(backbone: Backbone, feature_layer: str, saliency_layer: str | None) -> None:
    """Raise InputError naming the option whose layer a backbone lacks, with the similar one.

    saliency_layer: None where no saliency is measured. Nothing is computed.
    """
    with torch.device("meta"):
        network = build_untrained(backbone)
    architecture = backbone.architecture
    try:
        layer_extractor(network, [feature_layer])
    except ValueError as error:
        raise InputError(f"--feature-layer {feature_layer}: {architecture}: {error}") from error
    modules = [name for name, _ in network.named_modules() if name]
    if saliency_layer is not None and saliency_layer not in modules:
        hint = meant(saliency_layer, modules)
        raise InputError(
            f"--saliency-layer {saliency_layer}: {architecture} has no such module{hint}"
        )
