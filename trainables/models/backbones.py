"""Image CNNs by name: their layers, their weights, their preprocessing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from trainables.spec import Backbone
from trainables.storage.atomic import hash_file

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
SHA256: Final = "sha256:"


def narrow_alexnet(num_classes: int = 1000, width: int = 512) -> nn.Module:
    """Build AlexNet with narrow fully connected layers: same layer names, 20 times fewer weights.

    Nearly all of AlexNet's weights are in ``classifier.1`` and ``.4``; at small images they cost
    far more than they give, so the demonstration and the tests use this one.
    """
    network: nn.Module = models.alexnet(num_classes=num_classes)
    network.avgpool = nn.AdaptiveAvgPool2d((2, 2))
    network.classifier = nn.Sequential(
        nn.Dropout(0.5),
        nn.Linear(256 * 4, width),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(width, width),
        nn.ReLU(inplace=True),
        nn.Linear(width, num_classes),
    )
    return network


WITH_AUXILIARY_OUTPUTS: Final = ("googlenet", "inception_v3")
"""They return several outputs when training, so they have no one place for a readout."""

OWN_ARCHITECTURES: Final[dict[str, Callable[[], nn.Module]]] = {"narrow-alexnet": narrow_alexnet}


def architectures() -> list[str]:
    """Name every backbone: torchvision's classification models and our own."""
    published = set(models.list_models(module=models)) - set(WITH_AUXILIARY_OUTPUTS)
    return sorted([*OWN_ARCHITECTURES, *published])


def registered_builders() -> dict[str, Callable[..., nn.Module]]:
    """Return the function that builds each backbone, of torchvision's registry and our own."""
    published = {name: models.get_model_builder(name) for name in models.list_models()}
    return {**published, **OWN_ARCHITECTURES}


def build(architecture: str) -> nn.Module:
    """Build an untrained backbone by name; raise ValueError naming the known ones."""
    if architecture in OWN_ARCHITECTURES:
        return OWN_ARCHITECTURES[architecture]()
    if architecture not in architectures():
        raise ValueError(
            f"unknown backbone {architecture!r}; expected one of torchvision's classification "
            f"models (but {' and '.join(WITH_AUXILIARY_OUTPUTS)}) or {sorted(OWN_ARCHITECTURES)}"
        )
    network: nn.Module = models.get_model(architecture, weights=None)
    return network


def load(backbone: Backbone, weights_file: Path | None = None) -> nn.Module:
    """Build a backbone with its weights.

    Weights named ``sha256:…`` are read from weights_file, a state dict (``.safetensors``, or
    ``.pt`` read with ``weights_only=True``), whose hash must match; other names are torchvision's.
    Raises ValueError when the file is missing, is another file, or does not fit the backbone.
    """
    network = build(backbone.architecture)
    if backbone.weights.startswith(SHA256):
        network.load_state_dict(_state_for(backbone, weights_file, network))
    else:
        names = _published_weights(backbone.architecture)
        if backbone.weights not in names:
            raise ValueError(
                f"unknown weights {backbone.weights!r} for {backbone.architecture}; "
                f"expected one of {sorted(names)}, or --weights FILE"
            )
        network.load_state_dict(_download(backbone, names[backbone.weights]))
    return network


def _published_weights(architecture: str) -> Mapping[str, Any]:
    if architecture in OWN_ARCHITECTURES:
        return {}
    published: Mapping[str, Any] = models.get_model_weights(architecture).__members__
    return published


def _download(backbone: Backbone, weights: Any) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False)
    except (OSError, RuntimeError) as error:  # no network, no space, or a damaged download
        raise ValueError(
            f"{backbone.architecture}: its weights {backbone.weights} could not be downloaded "
            f"({error}); try again, or give --weights FILE"
        ) from error
    return state


def weights_name(path: Path) -> str:
    """Name a weights file by its content: ``sha256:`` and 16 hex digits."""
    return SHA256 + hash_file(path)[:16]


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict that cannot execute code; raise ValueError naming the file otherwise."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file  # what builds backbones alone can do without

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # every reader has its own errors; all mean the same to the user
        raise ValueError(
            f"{path}: not a readable state dict ({type(error).__name__}); save it with "
            "safetensors, or torch.save(model.state_dict(), FILE)"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path}: expected a dict of tensors; save model.state_dict()")
    return state


def _state_for(backbone: Backbone, path: Path | None, network: nn.Module) -> dict[str, Tensor]:
    if path is None or not path.is_file():
        raise ValueError(f"weights {backbone.weights} come from a file, found none; give --weights")
    if weights_name(path) != backbone.weights:
        raise ValueError(
            f"{path}: its content is {weights_name(path)}, expected {backbone.weights}"
        )
    state = read_state(path)
    check_fit(state, network, f"{path}: does not fit {backbone.architecture}")
    return state


def check_fit(state: Mapping[str, Tensor], network: nn.Module, complaint: str) -> None:
    """Raise ValueError, the complaint and the first difference, unless a state fits a network."""
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    wrong = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    if wrong:
        name = wrong[0]
        raise ValueError(
            f"{complaint}: {len(wrong)} entries differ, first "
            f"{name!r}: expected {expected.get(name, 'nothing')}, "
            f"found {found.get(name, 'nothing')}"
        )


def normalise(images: Tensor) -> Tensor:
    """Scale uint8 images (n, 3, height, width) to ImageNet's mean and standard deviation."""
    mean = images.new_tensor(IMAGENET_MEAN, dtype=torch.float32).view(1, 3, 1, 1)
    std = images.new_tensor(IMAGENET_STD, dtype=torch.float32).view(1, 3, 1, 1)
    return (images.float() / 255 - mean) / std


def layer_extractor(network: nn.Module, layers: Sequence[str]) -> nn.Module:
    """Wrap a backbone so that it returns {layer: activation} for the named nodes, in eval mode.

    Raises ValueError listing the nodes there are when a layer is not one of them.
    """
    network = network.eval()
    nodes = get_graph_node_names(network)[1]
    unknown = [layer for layer in layers if layer not in nodes]
    if unknown:
        raise ValueError(f"unknown layers {unknown}; this backbone has {', '.join(nodes)}")
    extractor: nn.Module = create_feature_extractor(network, return_nodes=list(layers))
    return extractor


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
