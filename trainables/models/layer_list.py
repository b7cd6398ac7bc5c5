"""The layers of a network: their shapes, its blocks, and a set of layers to start with.

A network is outlined by opening it: its children, those of every Sequential and ModuleList, and,
while there are fewer than ten blocks, those of the units that hold a list of blocks of one class.

A block begins at a unit with a matrix or a kernel of weights, and its end is the last unit before
the next block; normalisation, dropout, identity, flattening and pooling to one place are no ends.
So a block of AlexNet is a convolution or a linear map with its ReLU and pooling, and one of a
transformer is a block.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import torch
from torch import Tensor, nn

from trainables.models.layers import accepting_images

N_SUGGESTED: Final = 10
CONTAINERS: Final = (nn.Sequential, nn.ModuleList)
FEW: Final = 3
"""With fewer blocks than this every unit is opened: a network may wrap another."""
NO_END: Final = re.compile(r"Identity|Dropout|DropPath|Flatten|(Select)?Adaptive|\w*Norm(\dd)?$")
"""Beginnings of the names of classes that end no block."""


@dataclass(frozen=True)
class LayerShape:
    """A layer, and the shape of an image's activation."""

    name: str
    shape: tuple[int, ...]

    @property
    def n_features(self) -> int:
        """Count the features of an image."""
        return prod(self.shape)


def shapes_of(network: nn.Module, image_size: int, name: str) -> list[LayerShape]:
    """List the modules that return features of each image, in the order in which they end.

    network: on the device ``meta``; nothing is computed. name: of the network, for messages. Raises
    ValueError if it does not take images of that size.
    """
    n_images, found = 2, dict[str, tuple[int, ...]]()

    def hook(layer: str) -> Any:
        def note(module: nn.Module, given: Any, output: Any) -> None:
            is_features = isinstance(output, Tensor) and output.is_floating_point()
            if is_features and output.ndim > 1 and output.shape[0] == n_images:
                found.setdefault(layer, tuple(output.shape[1:]))

        return note

    hooks = [
        module.register_forward_hook(hook(layer))
        for layer, module in network.named_modules()
        if layer
    ]
    try:
        with accepting_images(image_size, name), torch.no_grad(), torch.device("meta"):
            network.eval()(torch.zeros(n_images, 3, image_size, image_size))
    finally:
        for one in hooks:
            one.remove()
    return [LayerShape(layer, shape) for layer, shape in found.items()]


def outline(network: nn.Module, shapes: Sequence[LayerShape]) -> list[str]:
    """Name the units that a network is made of, in the order in which they end."""
    known = [one.name for one in shapes]
    units = _opened(network, [""])
    while (n_blocks := len(_ends(network, _ordered(units, known)))) < N_SUGGESTED:
        closed = {one for one in units if n_blocks >= FEW and not _holds_blocks(network, one)}
        further = [
            one
            for unit in units
            for one in ([unit] if unit in closed else _opened(network, [unit]))
        ]
        if further == units:
            break
        units = further
    return _ordered(units, known)


def suggest(network: nn.Module, shapes: Sequence[LayerShape]) -> tuple[str, ...]:
    """Choose the ends of ten blocks, evenly over depth; of all blocks where there are fewer."""
    ends = _ends(network, outline(network, shapes))
    if len(ends) <= N_SUGGESTED:
        return tuple(ends)
    last = len(ends) - 1
    return tuple(ends[round(k * last / (N_SUGGESTED - 1))] for k in range(N_SUGGESTED))


def _ordered(units: Sequence[str], known: Sequence[str]) -> list[str]:
    there = set(units)
    return [name for name in known if name in there]


def _opened(network: nn.Module, units: Sequence[str]) -> list[str]:
    """Replace every unit by its children, and containers among them by theirs."""
    found: list[str] = []
    for unit in units:
        children = [
            f"{unit}.{name}" if unit else name
            for name, _ in network.get_submodule(unit).named_children()
        ]
        found += children or [unit]
    while any(_is_open(network, unit) for unit in found):
        found = [
            one
            for unit in found
            for one in (_opened(network, [unit]) if _is_open(network, unit) else [unit])
        ]
    return found


def _is_open(network: nn.Module, unit: str) -> bool:
    module = network.get_submodule(unit)
    return isinstance(module, CONTAINERS) and len(module) > 0


def _holds_blocks(network: nn.Module, unit: str) -> bool:
    """Return whether a child of a unit is a list of modules of one class, which have children."""
    return any(
        isinstance(child, CONTAINERS)
        and len({type(one) for one in child}) == 1
        and any(list(one.children()) for one in child)
        for child in network.get_submodule(unit).children()
    )


def _ends(network: nn.Module, units: Sequence[str]) -> list[str]:
    """Choose the last unit of each block."""
    ends: list[str] = []
    for unit in units:
        module = network.get_submodule(unit)
        if NO_END.match(type(module).__name__):
            continue
        begins = any(weight.ndim > 1 for weight in module.parameters())
        if begins or not ends:
            ends.append(unit)
        else:
            ends[-1] = unit
    return ends
