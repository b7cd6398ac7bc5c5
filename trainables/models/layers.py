"""Layers of backbones by name: modules, nodes of their graph, and the tokens of transformers.

A layer is named as the module whose output it is (``features.12``, ``layer1``, ``blocks.3``), or as
a node of torchvision's feature extraction (``layer1.0.add``), where the network can be traced. Of a
module that is called several times it is the first output. After a colon stands what is taken of
the tokens of a transformer, or of maps: ``blocks.3:cls``, ``:mean`` or ``:grid``.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from torch import Tensor, nn

from trainables.compute.failures import device_failure
from trainables.models.published import feature_extraction, models
from trainables.wording import any_meant

SHOWN: Final = 6
"""The most layers that a message lists."""
VIEWS: Final = ("cls", "mean", "grid")
"""The class token; the mean of the others, or of a map's places; the others, as a map."""


def split_view(layer: str) -> tuple[str, str | None]:
    """Split the name of a layer into the module or node, and the view of it; None for all."""
    name, colon, view = layer.partition(":")
    if colon and view not in VIEWS:
        raise ValueError(f"{layer}: expected {' or '.join(VIEWS)} after the colon, found {view!r}")
    return name, view or None


class _AllFound(Exception):  # noqa: N818 - no error: it ends a pass that has given all layers
    """The last of the layers has been computed."""


class ViewedLayers(nn.Module):
    """A backbone that returns {layer: activation}, by hooks on modules or by its graph."""

    def __init__(
        self, network: nn.Module, layers: Sequence[str], nodes: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.network = network
        # Of a node and a module that it is in, torchvision's extraction returns wrong ones.
        self.graph = _graph_of(network, nodes) if nodes else None
        self._layers = {layer: split_view(layer) for layer in layers}
        names = dict.fromkeys(name for name, _ in self._layers.values())
        self._modules_read = [name for name in names if name not in nodes]
        self._n_prefix = n_prefix_tokens(network)
        self._channels_last = getattr(network, "output_fmt", None) == "NHWC"

    def forward(self, images: Tensor) -> dict[str, Any]:
        """Compute the layers of normalised images: (n, 3, size, size) -> (n, …) each."""
        outputs = self._hooked(images) if self._modules_read else {}
        if self.graph is not None:
            outputs |= self.graph(images)
        return {
            layer: self._viewed(layer, outputs[name], view)
            for layer, (name, view) in self._layers.items()
        }

    def _hooked(self, images: Tensor) -> dict[str, Any]:
        names = self._modules_read
        found: dict[str, Any] = {}

        def hook(name: str) -> Any:
            def take(module: nn.Module, given: Any, output: Any) -> None:
                if name not in found:
                    # What follows may overwrite it in place.
                    found[name] = output.clone() if isinstance(output, Tensor) else output
                if len(found) == len(names):
                    raise _AllFound

            return take

        hooks = [
            self.network.get_submodule(name).register_forward_hook(hook(name)) for name in names
        ]
        try:
            self.network(images)
        except _AllFound:
            return found
        finally:
            for one in hooks:
                one.remove()
        absent = [name for name in names if name not in found]
        raise ValueError(f"layer {absent[0]!r} is a module that the backbone does not call")

    def _viewed(self, layer: str, output: Any, view: str | None) -> Any:
        if view is None:
            return output
        n_axes = output.ndim if isinstance(output, Tensor) else 0
        if n_axes == 4 and view != "cls":
            maps = output.permute(0, 3, 1, 2) if self._channels_last else output
            return maps.mean(dim=(2, 3)) if view == "mean" else maps
        if n_axes != 3:
            raise ValueError(f"{layer}: expected a layer of tokens, found one without")
        return take_tokens(output, view, self._n_prefix)


def take_tokens(tokens: Tensor, view: str, n_prefix: int) -> Tensor:
    """Take a view of tokens: (n, n_tokens, width) -> (n, width), or a grid (n, width, h, w).

    n_prefix: class and register tokens, which come first and are in neither mean nor grid. Raises
    ValueError where there is no class token, or the others make no square.
    """
    if view == "cls":
        if n_prefix == 0:
            raise ValueError("this backbone has no class token; use :mean or :grid")
        return tokens[:, 0]
    patches = tokens[:, n_prefix:]
    if view == "mean":
        return patches.mean(dim=1)
    side = math.isqrt(patches.shape[1])
    if side * side != patches.shape[1]:
        raise ValueError(f"{patches.shape[1]} tokens make no square grid; use :mean")
    return patches.transpose(1, 2).reshape(len(patches), -1, side, side)


def n_prefix_tokens(network: nn.Module) -> int:
    """Count a transformer's tokens before those of the image's patches: class and registers."""
    if isinstance(network, models.VisionTransformer):
        return 1
    return int(getattr(network, "num_prefix_tokens", 0))


def layer_extractor(network: nn.Module, layers: Sequence[str]) -> nn.Module:
    """Wrap a backbone so that it returns {layer: activation} for the named layers, in eval mode.

    Modules are read by hooks, other names are nodes of the traced graph; where all are nodes, one
    pass through the graph reads them. Raises ValueError listing the layers there are when one is
    not among them.
    """
    network = network.eval()
    names = list(dict.fromkeys(split_view(layer)[0] for layer in layers))
    modules = [name for name, _ in network.named_modules() if name]
    if set(names) <= set(modules):
        return ViewedLayers(network, layers)
    nodes = graph_nodes(network)
    known = list(dict.fromkeys([*modules, *nodes]))
    unknown = [name for name in names if name not in known]
    if unknown:
        listed = [name for name in known if name not in _containers(network)]
        raise ValueError(f"unknown layers {unknown[:3]}; {describe_layers(unknown[0], listed)}")
    alone = set(names) <= set(nodes)
    return ViewedLayers(
        network, layers, names if alone else [one for one in names if one not in modules]
    )


def describe_layers(unknown: str, layers: Sequence[str]) -> str:
    """Describe the layers that a backbone has, for a message about one that it lacks.

    The names that were probably meant; without any, the first ones; and how to list all.
    """
    some_of = f"this backbone has {', '.join(layers[:SHOWN])}{', …' * (len(layers) > SHOWN)};"
    return (
        f"{any_meant(unknown, layers, cutoff=0.5) or some_of} python -m orchestrator.backbones "
        f"NAME lists all {len(layers)}"
    )


def _containers(network: nn.Module) -> set[str]:
    """Name the modules that only hold others."""
    kinds = (nn.Sequential, nn.ModuleList)
    return {name for name, module in network.named_modules() if isinstance(module, kinds)}


def _extraction(network: nn.Module) -> Any:
    """Return the module that traces a network: timm's knows which functions are leaves."""
    if type(network).__module__.startswith("timm."):
        from timm import models  # only for networks of timm, which is imported then

        return models
    return feature_extraction


def graph_nodes(network: nn.Module) -> list[str]:
    """Name the nodes of a network's graph after the images; none if it can't be traced."""
    try:
        nodes: list[str] = _extraction(network).get_graph_node_names(network)[1]
    except Exception:  # tracing fails in as many ways as networks are written
        return []
    return nodes[1:]


def _graph_of(network: nn.Module, nodes: Sequence[str]) -> nn.Module:
    graph: nn.Module = _extraction(network).create_feature_extractor(network, list(nodes))
    return graph


@contextmanager
def accepting_images(image_size: int, architecture: str = "this backbone") -> Iterator[None]:
    """Raise ValueError if a backbone, called in the block, does not accept images of a size."""
    try:
        yield
    except (RuntimeError, AssertionError) as error:  # vision transformers assert their size
        if device_failure(error) is not None:
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{architecture} does not accept images of {image_size} x {image_size} pixels "
            f"({reason}); ingest with another --image-size"
        ) from error


@contextmanager
def out_of_place(network: nn.Module) -> Iterator[None]:
    """Keep ``ReLU(inplace=True)`` from overwriting activations that a hook has taken."""
    modules: list[Any] = [m for m in network.modules() if getattr(m, "inplace", False)]
    for module in modules:
        module.inplace = False
    try:
        yield
    finally:
        for module in modules:
            module.inplace = True
