"""Low-rank adapters (LoRA): frozen weights, to each of which a product of two matrices is added.

peft adds the products in training, and they are merged into the weights for all that is saved and
after training. What reads a checkpoint therefore finds a plain backbone.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from trainables.compute.precision import full_float32
from trainables.compute.seeding import seeded_generators
from trainables.models.backbone_facts import require_peft
from trainables.models.call_order import call_order

NAME: Final = "default"
"""peft's name of the adapters."""
SCALE: Final = 2
"""Factor of the products: a weight becomes W + SCALE * B A."""
BASE: Final = ".base_layer"
"""What peft adds to the name of a module that it adapts."""
BLOCKS: Final = re.compile(r"(^|\.)(blocks|layers|features)\.")
"""Modules of a transformer's blocks, in the names of timm and torchvision."""
SEED_FACTOR: Final = 1_000_003
"""Seeds of epochs are this times the trial's, and the epoch's number; adapters have epoch 0."""


@dataclass(frozen=True)
class Targets:
    """What is adapted, by name: modules, and parameters of modules that have no own forward."""

    modules: tuple[str, ...]
    parameters: tuple[str, ...]


def find_targets(backbone: nn.Module, image_size: int) -> Targets:
    """Find the linear layers and convolutions that low-rank adapters can be merged into.

    In a transformer these are the linear layers and attention's projections in its blocks;
    elsewhere all linear layers and convolutions without groups. Left out are layers whose weights
    are used without a call, and subclasses that compute something else than W x.
    """
    called = call_order(backbone, image_size)
    modules = {name: one for name, one in backbone.named_modules() if name in called}
    linear = [name for name, one in modules.items() if type(one) is nn.Linear]
    if any(type(one).__name__.endswith("Attention") for one in modules.values()):
        inside = tuple(name for name in linear if BLOCKS.search(name))
        # Not peft's own layer for it, which adds the output's product twice, and rounds W.
        attention = (name for name, one in modules.items() if _has_one_projection(one))
        return Targets(inside, tuple(f"{name}.in_proj_weight" for name in attention))
    convolutions = [name for name, one in modules.items() if _is_plain_convolution(one)]
    return Targets((*linear, *convolutions), ())


def _has_one_projection(module: nn.Module) -> bool:
    return isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None


def _is_plain_convolution(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.groups == 1
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
    )


def check_adaptable(backbone: nn.Module, image_size: int, rank: int) -> Targets:
    """Return what is adapted; raise ValueError if that is nothing, or if peft is not installed."""
    require_peft(rank)
    targets = find_targets(backbone, image_size)
    if not (targets.modules or targets.parameters):
        raise ValueError(
            f"tune lora:{rank}: the backbone has no linear layer or ungrouped convolution that can "
            "be adapted; use tune='all' or 'from:LAYER'"
        )
    return targets


class Adapters:
    """The adapters of a backbone, which are in it from their creation until they are merged."""

    def __init__(self, backbone: nn.Module, rank: int, image_size: int, seed: int) -> None:
        targets = check_adaptable(backbone, image_size, rank)
        from peft import LoraConfig  # seconds of imports, for trials of this kind alone
        from peft.tuners.lora import LoraModel

        config = LoraConfig(
            r=rank,
            lora_alpha=SCALE * rank,
            target_modules="|".join(map(re.escape, targets.modules)) or None,
            target_parameters=list(targets.parameters) or None,
        )
        with seeded_generators(SEED_FACTOR * seed, next(backbone.parameters()).device):
            self._tuner: Any = LoraModel(backbone, {NAME: config}, NAME)
        self._backbone = backbone

    def _layers(self) -> Iterator[tuple[str, Any]]:
        """Yield peft's layers by the names that their modules have without adapters."""
        from peft.tuners.lora import LoraLayer

        for name, layer in self._backbone.named_modules():
            if isinstance(layer, LoraLayer):
                yield name.replace(BASE, ""), layer

    def state(self) -> dict[str, Tensor]:
        """Return the matrices of the products by name."""
        return {n: v for n, v in self._backbone.state_dict().items() if ".lora_" in n}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load what :meth:`state` returned; raise ValueError if it is of other adapters."""
        if state.keys() != self.state().keys():
            raise ValueError(f"adapters: expected {len(self.state())} matrices, found {len(state)}")
        self._backbone.load_state_dict(dict(state), strict=False)

    @torch.no_grad()
    def merged(self) -> dict[str, Tensor]:
        """Return the state dict of the plain backbone, with the products added to its weights.

        In full float32, so that the weights that are saved while training are those of the end.
        """
        whole = self._backbone.state_dict()
        plain = {n.replace(BASE, ""): value for n, value in whole.items() if ".lora_" not in n}
        with full_float32():
            for name, layer in self._layers():
                weight = f"{name}.{getattr(layer, 'parameter_name', 'weight')}"
                plain[weight] = plain[weight] + layer.get_delta_weight(NAME).view_as(plain[weight])
        return plain

    def unload(self, state: Mapping[str, Tensor]) -> None:
        """Remove the adapters, and load a state dict into what is then a plain backbone."""
        self._tuner.unload()
        self._backbone.load_state_dict(state)
        self._backbone.requires_grad_(True)
