"""Tune all of a backbone, or a part: freeze what precedes a layer, or add low-rank adapters."""

from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from trainables.models.adapters import Adapters, check_adaptable
from trainables.models.call_order import call_order, count_logits, position
from trainables.models.layers import describe_layers
from trainables.spec.tune import FromLayer, Lora, parse_tune


@dataclass(frozen=True)
class Tuned:
    """What training must know of a backbone of which only a part is tuned."""

    norms: tuple[nn.Module, ...] = ()
    """Norms of frozen layers, whose running statistics stay as they are."""
    adapters: Adapters | None = None

    def keep_statistics(self) -> None:
        """Put frozen norms in evaluation mode, after the model was put in training mode."""
        for norm in self.norms:
            norm.eval()


def tune_backbone(backbone: nn.Module, tune: str, image_size: int, seed: int) -> Tuned:
    """Freeze the parameters of a backbone that are not tuned, or add adapters, drawn from seed.

    Raises ValueError if the backbone has no such layer, or nothing that can be tuned so.
    """
    how = parse_tune(tune)
    if how is None:
        return Tuned()
    if isinstance(how, FromLayer):
        return Tuned(freeze_before(backbone, how.layer, image_size))
    adapters = Adapters(backbone, how.rank, image_size, seed)
    return Tuned(tuple(one for one in backbone.modules() if _has_statistics(one)), adapters)


def check_tune(backbone: nn.Module, tune: str, image_size: int) -> None:
    """Raise ValueError if a backbone can't be tuned so; it may be on the device ``meta``."""
    how = parse_tune(tune)
    if how is None:
        count_logits(backbone, image_size)
    if isinstance(how, FromLayer):
        freeze_before(backbone, how.layer, image_size)
    if isinstance(how, Lora):
        check_adaptable(backbone, image_size, how.rank)


def freeze_before(backbone: nn.Module, layer: str, image_size: int) -> tuple[nn.Module, ...]:
    """Freeze the parameters of all modules that are entered before a layer; return their norms.

    A module that is not called counts as the one around it. Parameters of a module that contains
    the layer, such as positional embeddings, are frozen, since it is entered before. Raises
    ValueError if no such layer is called, or if nothing after it has parameters.
    """
    order = call_order(backbone, image_size)
    names = [name for name in order if name]
    if layer not in names:
        raise ValueError(f"tune from:{layer}: unknown layer; {describe_layers(layer, names)}")
    norms = []
    for name, module in backbone.named_modules():
        if position(name, order) < order[layer]:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
            if _has_statistics(module):
                norms.append(module)
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        raise ValueError(f"tune from:{layer}: no layer from there on has weights; name an earlier")
    return tuple(norms)


def _has_statistics(module: nn.Module) -> bool:
    return isinstance(module, _NormBase) and module.running_mean is not None
