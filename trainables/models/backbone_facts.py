"""What planning needs to know of backbones, kept on this machine once it is known.

torch and torchvision take seconds to import, and the facts never change: the size of a backbone,
that it has some layers, that a file of weights fits it. Each is a small file in the cache
directory, named by a digest of all that it depends on: the question, the versions of the libraries,
and this program's code. A file that is absent or damaged is made again, and a refusal is never
kept. A worker checks weights and layers in any case when it loads them.
"""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

from trainables.models.weights_name import files_of
from trainables.spec import Backbone
from trainables.spec.backbone import IMAGENET_MEAN, IMAGENET_STD, OTHER_PIXELS, TIMM, Channels
from trainables.spec.fields import Int, Number, Size, Text
from trainables.spec.records import parse, read_bounded, record
from trainables.spec.tune import Lora, parse_tune
from trainables.storage import user_cache
from trainables.storage.atomic import hash_file, write_text

T = TypeVar("T")

DIRECTORY: Final = ("cortex-sweep", "backbones")
"""Directories of the facts in the cache directory."""
MAX_FACT: Final = 4096
"""The largest file of a fact, in bytes."""
SOURCES: Final = (
    "adapters.py",
    "backbones.py",
    "call_order.py",
    "layers.py",
    "measurement.py",
    "own_networks.py",
    "timm_networks.py",
    "tuning.py",
    "weight_files.py",
    "weights.py",
)
"""Files of this package that decide the facts."""
DIRECTORY_VARIABLES: Final = ("TORCH_HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE")
"""Variables that decide where torch and timm keep published weights."""


@record
class BackboneSize:
    """The operations and memory of one image in a backbone."""

    flops: Number
    """Operations of one forward pass."""
    activation_bytes: Size
    """Bytes of the outputs of all layers."""
    parameter_bytes: Size


@record
class Layers:
    """Layers of a backbone that have features of each image."""

    n_features: Size
    """Features of an image in all of them."""


@record
class Pixels:
    """The mean and deviation of channels that published weights were trained with."""

    mean: Channels
    std: Channels


@record
class Tunable:
    """A backbone of which a part can be tuned."""

    tune: Text


@record
class WeightsFile:
    """A file of weights that fits a backbone, as it was when it was checked."""

    path: Text
    state: tuple[Int, ...]
    """Its size, and its times of modification and change in ns; of an index, of its shards too."""

    @classmethod
    def of(cls, path: Path) -> "WeightsFile":
        """Describe a file; raise OSError if there is none, ValueError if a shard is missing."""
        found = [one.stat() for one in files_of(path)]
        state = ((one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in found)
        return cls(str(path.absolute()), tuple(chain.from_iterable(state)))


@cache
def size_of(backbone: Backbone, image_size: int) -> BackboneSize:
    """Return a backbone's operations and bytes for one image.

    Raises ValueError if there is no such backbone, or if it does not accept images of that size.
    """

    def measure() -> BackboneSize:
        from trainables.models.measurement import measure_backbone

        return measure_backbone(backbone, image_size)

    return known_fact(BackboneSize, backbone, (image_size,), measure)


@cache
def count_features(backbone: Backbone, layers: tuple[str, ...], image_size: int) -> int:
    """Count the features of an image in some layers.

    Raises ValueError unless each layer has features, a row of floats per image.
    """

    def check() -> Layers:
        from trainables.models.backbones import check_layers

        return Layers(check_layers(backbone, layers, image_size))

    return known_fact(Layers, backbone, (list(layers), image_size), check).n_features


def with_pixels(backbone: Backbone) -> Backbone:
    """Return a backbone with the scale of pixels that it was published with, unless it has one.

    It stays None where it is ImageNet's. Raises ValueError if timm has no such network.
    """
    if backbone.pixels is not None:
        return backbone
    name = backbone.architecture
    if not name.startswith(TIMM):
        mean, std = OTHER_PIXELS.get(name, (IMAGENET_MEAN, IMAGENET_STD))
    else:

        def find() -> Pixels:
            from trainables.models.timm_networks import pixels

            return Pixels(*pixels(name))

        known = known_fact(Pixels, backbone, (), find)
        mean, std = known.mean, known.std
    if (mean, std) == (IMAGENET_MEAN, IMAGENET_STD):
        return backbone
    return replace(backbone, pixels=(mean, std))


def require_tunable(backbone: Backbone, tune: str, image_size: int) -> None:
    """Raise ValueError unless a backbone can be tuned so, by the packages that there are."""
    how = parse_tune(tune)
    is_known = backbone.source is None and not backbone.architecture.startswith(TIMM)
    if how is None and is_known:  # torchvision's all return a vector an image
        return
    if isinstance(how, Lora):
        require_peft(how.rank)

    def check() -> Tunable:
        import torch

        from trainables.models import backbones
        from trainables.models.tuning import check_tune

        with torch.device("meta"):
            check_tune(backbones.build_untrained(backbone), tune, image_size)
        return Tunable(tune)

    known_fact(Tunable, backbone, (tune, image_size), check)


def require_peft(rank: int) -> None:
    """Raise ValueError naming the cure if peft is not installed, which adds low-rank adapters."""
    if find_spec("peft") is None:
        raise ValueError(
            f"tune lora:{rank} needs the package peft, which is not installed; "
            "pip install 'cortex-sweep[lora]'"
        )


def has_weights(backbone: Backbone, weights_file: Path | None) -> bool:
    """Return whether a backbone's weights are on this machine, after a check that they fit it.

    Raises ValueError for weights that are unknown, do not fit or are not finite.
    """
    where = [
        str(weights_file and weights_file.absolute()),
        *map(os.environ.get, DIRECTORY_VARIABLES),
    ]
    place = _place("weights", backbone.architecture, (backbone.weights, where))
    known = _read(WeightsFile, place)
    with suppress(OSError):
        if known is not None and known == WeightsFile.of(Path(known.path)):
            return True
    from trainables.models import backbones

    file = backbones.file_of(backbone, weights_file)
    if file is None:
        return False
    before = WeightsFile.of(file)
    backbones.load(backbone, weights_file)
    _write(before, place, backbone)
    return True


def known_fact(
    kind: type[T], backbone: Backbone, question: tuple[object, ...], find: Callable[[], T]
) -> T:
    """Return a fact from its file, or find it and keep it."""
    place = _place(kind.__name__, backbone.architecture, question)
    fact = _read(kind, place)
    if fact is None:
        fact = find()
        _write(fact, place, backbone)
    return fact


def _place(kind: str, architecture: str, question: tuple[object, ...]) -> Path:
    """Return the file of a fact; its name depends on all that the fact does."""
    whole = json.dumps([kind, architecture, *question, *_versions()])
    name = hashlib.sha256(whole.encode()).hexdigest()
    return user_cache.cache().joinpath(*DIRECTORY, f"{name}.json")


@cache
def _versions() -> tuple[str, ...]:
    """Return the versions of the libraries, and the hashes of this program's files."""
    home = Path(__file__).parent
    found = [hash_file(home / name) for name in SOURCES]
    for package in ("torch", "torchvision", "timm"):
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return tuple(found)


def _read(kind: type[T], place: Path) -> T | None:
    """Read a fact; return None if it is absent or damaged."""
    try:
        return parse(kind, read_bounded(place, MAX_FACT))
    except (OSError, ValueError):
        return None


def _write(fact: object, place: Path, backbone: Backbone) -> None:
    """Keep a fact of a backbone of this program, torchvision or timm, if that is possible."""
    from trainables.models.backbones import is_own_or_published, registered_builders

    architecture = backbone.architecture
    is_named_by_content = architecture.startswith(TIMM) or backbone.source is not None
    if is_named_by_content or is_own_or_published(
        architecture, registered_builders().get(architecture)
    ):
        with suppress(OSError):  # a home directory that can't be written
            write_text(place, json.dumps(asdict(fact)))  # type: ignore[call-overload]
