"""Image networks by name, with the weights they start from."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from trainables.models import own_networks, timm_networks
from trainables.models.image_choice import PublishedImages
from trainables.models.layers import accepting_images, layer_extractor
from trainables.models.normalisation import set_pixels
from trainables.models.published import models
from trainables.models.weightless import build_weightless, put_weights
from trainables.models.weights import fit, read_state
from trainables.models.weights_name import weights_name
from trainables.spec import Backbone
from trainables.spec.backbone import FILE_BUILDER, SHA256, TIMM
from trainables.wording import similar

CHANNELS: Final = (32, 96, 192, 128, 128)
"""Outputs of the convolutions of the narrow AlexNet: half of AlexNet's."""


def narrow_alexnet(num_classes: int = 1000, width: int = 256) -> nn.Module:
    """Build AlexNet with half its channels and narrow fully connected layers.

    Same layer names, 57 times fewer weights, a quarter of the convolutions' operations: at small
    images the others cost far more than they give. The demonstration and the tests use it.
    """
    with torch.device("meta"):  # its own weights, which are replaced, are never drawn
        network: nn.Module = models.alexnet(num_classes=num_classes)
    first, second, third, fourth, last = CHANNELS
    network.features = nn.Sequential(
        nn.Conv2d(3, first, 11, stride=4, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(first, second, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(second, third, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(third, fourth, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(fourth, last, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
    )
    network.avgpool = nn.AdaptiveAvgPool2d((2, 2))
    network.classifier = nn.Sequential(
        nn.Dropout(0.5),
        nn.Linear(4 * last, width),
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
    if architecture.startswith(TIMM):
        return timm_networks.build(architecture)
    if architecture in OWN_ARCHITECTURES:
        return OWN_ARCHITECTURES[architecture]()
    if architecture not in architectures():
        raise ValueError(_unknown(architecture))
    network: nn.Module = models.get_model(architecture, weights=None)
    return network


def _unknown(architecture: str) -> str:
    """Describe a name that is no backbone's, and the one that was probably meant."""
    of_timm = {
        name.removeprefix(TIMM).partition(".")[0]: name.partition(".")[0]
        for name in timm_networks.names()
    }
    shown = of_timm | {name: name for name in architectures()}
    found = similar(architecture.partition(".")[0], shown)
    return (
        f"unknown backbone {architecture!r}; expected one of torchvision's classification "
        f"models (but {' and '.join(WITH_AUXILIARY_OUTPUTS)}), {TIMM}NAME, FILE.py:FUNCTION or "
        f"{', '.join(sorted(OWN_ARCHITECTURES))}"
        + ("" if found is None else f"; did you mean {shown[found]!r}?")
    )


def build_untrained(backbone: Backbone) -> nn.Module:
    """Build a backbone by its name, or by the text of its file."""
    return build(backbone.architecture) if backbone.source is None else own_networks.build(backbone)


def build_scaled(backbone: Backbone) -> nn.Module:
    """Build an untrained backbone whose images are normalised as it expects."""
    return set_pixels(build_untrained(backbone), backbone.scale, backbone.crop_size)


def with_weights(
    backbone: Backbone, fitted: Callable[[nn.Module], Mapping[str, Tensor]]
) -> nn.Module:
    """Build a backbone with a state, which fitted makes for the network or refuses.

    A user's network is built as its code says; others without initial values where possible.
    """
    build_one = partial(build_scaled, backbone)
    network = build_one() if backbone.source is not None else build_weightless(build_one)
    return put_weights(network, fitted(network))


def load(backbone: Backbone, weights_file: Path | None = None) -> nn.Module:
    """Build a backbone with its weights, which torchvision or timm downloads if they are theirs.

    Weights named ``sha256:…`` are read from weights_file, a state dict whose hash must match; other
    names are published ones. Raises ValueError when the file is missing, is another file, does not
    fit the backbone, or holds values that are not finite.
    """

    def fitted(network: nn.Module) -> dict[str, Tensor]:
        state, origin = _read_weights(backbone, weights_file)
        return fit(state, network, f"{origin}: does not fit {backbone.architecture}")

    return with_weights(backbone, fitted)


def _read_weights(backbone: Backbone, weights_file: Path | None) -> tuple[dict[str, Tensor], str]:
    """Read a backbone's weights; return them with the name of where they are from."""
    if backbone.weights.startswith(SHA256):
        return read_state(_checked(backbone, weights_file)), str(weights_file)
    if backbone.architecture.startswith(TIMM):
        return timm_networks.download(backbone), f"timm's {backbone.weights}"
    published = published_weights(backbone)
    return _download(backbone, published), str(cached_file(published))


def file_of(backbone: Backbone, weights_file: Path | None) -> Path | None:
    """Return the file that a backbone's weights are read from; None if it is to be downloaded.

    Raises ValueError if there are no such published weights, or if the given file is not the one.
    """
    if backbone.weights.startswith(SHA256):
        return _checked(backbone, weights_file)
    if backbone.architecture.startswith(TIMM):
        return timm_networks.cached_file(backbone)
    file = cached_file(published_weights(backbone))
    return file if file.is_file() else None


def download_megabytes(backbone: Backbone) -> float | None:
    """Return the size of published weights; None where it is not known."""
    if backbone.architecture.startswith(TIMM):
        return None
    size: float | None = published_weights(backbone).meta.get("_file_size")
    return size


def published_weights(backbone: Backbone) -> Any:
    """Return torchvision's entry of a backbone's weights; raise ValueError if it has none."""
    names: Mapping[str, Any] = {}
    if backbone.source is None and backbone.architecture not in OWN_ARCHITECTURES:
        names = models.get_model_weights(backbone.architecture).__members__
    if backbone.weights not in names:
        known = f"one of {sorted(names)}, or " if names else ""
        raise ValueError(
            f"unknown weights {backbone.weights!r} for {backbone.architecture}; "
            f"expected {known}FROM_FILE and --weights FILE"
        )
    return names[backbone.weights]


def weight_names(architecture: str) -> list[str]:
    """Name torchvision's weights of a backbone; none for one of this program."""
    if architecture in OWN_ARCHITECTURES or FILE_BUILDER.fullmatch(architecture):
        return []
    return [one for one in models.get_model_weights(architecture).__members__ if one != "DEFAULT"]


def published_images(backbone: Backbone) -> PublishedImages | None:
    """Return the images that a backbone's weights were trained with; None where none are known.

    Weights of a file are taken for those that the architecture was last published with.
    """
    name = backbone.architecture
    if name.startswith(TIMM):
        config = timm_networks.data_config(name)
        size = int(config["input_size"][1])
        return PublishedImages(size, int(size / config["crop_pct"]), config["interpolation"])
    if name in OWN_ARCHITECTURES or backbone.source is not None:
        return None
    weights = models.get_model_weights(name)
    tag = backbone.weights if backbone.weights in weights.__members__ else "DEFAULT"
    transforms = weights[tag].transforms()
    [size], [resized_to] = transforms.crop_size, transforms.resize_size
    return PublishedImages(size, resized_to, transforms.interpolation.value)


def check_as_published(backbone: Backbone, image_size: int) -> None:
    """Raise ValueError unless a network, as it was published, takes images of a size.

    timm's transformers do not, if their position embeddings are of another one.
    """
    name = backbone.architecture
    with torch.device("meta"), torch.no_grad():
        is_of_timm = name.startswith(TIMM)
        network = timm_networks.timm_model(name) if is_of_timm else build_untrained(backbone)
        with accepting_images(image_size, name):
            network.eval()(torch.zeros(2, 3, image_size, image_size))


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


def check_layers(backbone: Backbone, layers: Sequence[str], image_size: int) -> int:
    """Check that each layer's activation is a tensor of floats with a row per image.

    Return the number of features of an image in all layers. Nothing is computed: sizes are derived
    on the device ``meta``. Raises ValueError for other layers.
    """
    n_images = 2
    with torch.device("meta"), torch.no_grad():
        extractor = layer_extractor(build_untrained(backbone), layers)
        with accepting_images(image_size, backbone.architecture):
            activations = extractor(torch.zeros(n_images, 3, image_size, image_size))
    for layer, value in activations.items():
        is_tensor = isinstance(value, Tensor) and value.is_floating_point() and value.ndim > 1
        if not is_tensor or value.shape[0] != n_images:
            raise ValueError(
                f"layer {layer!r} of {backbone.architecture} has no features of each image"
            )
    return sum(value[0].numel() for value in activations.values())
