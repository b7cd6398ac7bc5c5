"""Image CNNs by name: their layers, their weights, their preprocessing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from trainables.models.weights import fit, read_state
from trainables.models.weights_name import SHA256, weights_name
from trainables.spec import Backbone
from trainables.wording import meant

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
SHOWN: Final = 30
"""The most layers that a message lists."""


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


def is_own_or_published(name: str, builder: object) -> bool:
    """Return whether a builder is the one that torchvision or this module registers by a name."""
    module, function = (str(getattr(builder, one, "")) for one in ("__module__", "__name__"))
    if module == __name__:
        return name == function.replace("_", "-")
    return module.startswith("torchvision.") and name in (function, f"quantized_{function}")


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
    """Build a backbone with its weights, which torchvision downloads if they are its own.

    Weights named ``sha256:…`` are read from weights_file, a state dict whose hash must match; other
    names are torchvision's. Raises ValueError when the file is missing, is another file, does not
    fit the backbone, or holds values that are not finite.
    """
    network = build(backbone.architecture)
    if backbone.weights.startswith(SHA256):
        state, origin = read_state(_checked(backbone, weights_file)), str(weights_file)
    else:
        published = published_weights(backbone)
        state, origin = _download(backbone, published), str(cached_file(published))
    complaint = f"{origin}: does not fit {backbone.architecture}"
    network.load_state_dict(fit(state, network, complaint))
    return network


def file_of(backbone: Backbone, weights_file: Path | None) -> Path:
    """Return the file that a backbone's weights are read from, which may be yet to be downloaded.

    Raises ValueError if torchvision has no such weights, or if the given file is not the one.
    """
    if backbone.weights.startswith(SHA256):
        return _checked(backbone, weights_file)
    return cached_file(published_weights(backbone))


def published_weights(backbone: Backbone) -> Any:
    """Return torchvision's entry of a backbone's weights; raise ValueError if it has none."""
    names: Mapping[str, Any] = {}
    if backbone.architecture not in OWN_ARCHITECTURES:
        names = models.get_model_weights(backbone.architecture).__members__
    if backbone.weights not in names:
        known = f"one of {sorted(names)}, or " if names else ""
        raise ValueError(
            f"unknown weights {backbone.weights!r} for {backbone.architecture}; "
            f"expected {known}FROM_FILE and --weights FILE"
        )
    return names[backbone.weights]


def cached_file(published: Any) -> Path:
    """Name the file that published weights are downloaded to."""
    return Path(torch.hub.get_dir()) / "checkpoints" / str(published.url).rpartition("/")[2]


def _download(backbone: Backbone, weights: Any) -> dict[str, Tensor]:
    file = cached_file(weights)
    was_there = file.is_file()
    try:
        state: dict[str, Tensor] = weights.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except Exception as error:  # no network, no space, or a damaged file: each has its own error
        if was_there:
            raise ValueError(
                f"{file}: not a readable file of the weights {backbone.weights} of "
                f"{backbone.architecture} ({type(error).__name__}); remove it"
            ) from error
        raise ValueError(
            f"{backbone.architecture}: its weights {backbone.weights} could not be downloaded "
            f"({error}); try again, or give --weights FILE"
        ) from error
    return state


def _checked(backbone: Backbone, path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise ValueError(f"weights {backbone.weights} come from a file, found none; give --weights")
    if weights_name(path) != backbone.weights:
        raise ValueError(
            f"{path}: its content is {weights_name(path)}, expected {backbone.weights}"
        )
    return path


def normalise(images: Tensor) -> Tensor:
    """Scale uint8 images (n, 3, height, width) to ImageNet's mean and standard deviation."""
    mean = images.new_tensor(IMAGENET_MEAN, dtype=torch.float32).view(1, 3, 1, 1)
    std = images.new_tensor(IMAGENET_STD, dtype=torch.float32).view(1, 3, 1, 1)
    return (images.float() / 255 - mean) / std


def layer_extractor(network: nn.Module, layers: Sequence[str]) -> nn.Module:
    """Wrap a backbone so that it returns {layer: activation} for the named nodes, in eval mode.

    Raises ValueError listing the nodes there are when a layer is not one of them; the images
    themselves, the first node, are no layer.
    """
    network = network.eval()
    nodes = get_graph_node_names(network)[1][1:]
    unknown = [layer for layer in layers if layer not in nodes]
    if unknown:
        shown = ", ".join(nodes[:SHOWN]) + (", …" if len(nodes) > SHOWN else "")
        raise ValueError(
            f"unknown layers {unknown[:3]}; this backbone has {shown}"
            f"{meant(unknown[0], nodes, cutoff=0.5)}"
        )
    extractor: nn.Module = create_feature_extractor(network, return_nodes=list(layers))
    return extractor


@contextmanager
def accepting_images(image_size: int, architecture: str = "this backbone") -> Iterator[None]:
    """Raise ValueError if a backbone, called in the block, does not accept images of a size."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError) as error:  # vision transformers assert their size
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{architecture} does not accept images of {image_size} x {image_size} pixels "
            f"({reason}); ingest with another --image-size"
        ) from error


def check_layers(architecture: str, layers: Sequence[str], image_size: int) -> None:
    """Raise ValueError unless each layer's activation is a tensor of floats with a row per image.

    Nothing is computed: sizes are derived on the device ``meta``.
    """
    n_images = 2
    with torch.device("meta"), torch.no_grad():
        extractor = layer_extractor(build(architecture), layers)
        with accepting_images(image_size, architecture):
            activations = extractor(torch.zeros(n_images, 3, image_size, image_size))
    for layer, value in activations.items():
        is_tensor = isinstance(value, Tensor) and value.is_floating_point() and value.ndim > 1
        if not is_tensor or value.shape[0] != n_images:
            raise ValueError(f"layer {layer!r} of {architecture} has no features of each image")


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
