"""List the image networks, and describe one in the terminal."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from rich.console import Console

from orchestrator.cli.errors import InputError
from orchestrator.cli.text import count, duration, new_table
from orchestrator.cli.trust import remember
from orchestrator.execution.image_sizes import chosen_for
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest
from trainables.models import backbones, timm_networks
from trainables.models.backbone_facts import BackboneSize, size_of, with_pixels
from trainables.models.image_choice import PublishedImages, pixels, published_images
from trainables.models.layer_list import LayerShape, outline, shapes_of, suggest
from trainables.models.own_networks import with_source
from trainables.models.pass_times import measure_passes
from trainables.spec import FROM_FILE, Backbone
from trainables.spec.backbone import TIMM
from trainables.wording import meant

USUAL_SIZE: Final = 224
"""Pixels of images where a network does not say what it was trained with."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of a network."""

    image_size: int | None
    n_images: int | None
    """Images of the epoch whose cost is measured; None: nothing is measured."""
    all_layers: bool
    data: DataDirectory | None = None
    """Ingested data: say which of its images the network is given."""


def list_names(like: str | None, console: Console) -> None:
    """Print the names with a text in them; without a text, torchvision's and how many of timm."""
    published, of_timm = backbones.architectures(), timm_networks.names()
    if like is None:
        _print(console, _with_weights(published))
        line = f"and {len(of_timm):,} of timm: --like vit lists those whose name has it"
        return _print(console, [line])
    found = [one for one in published if like in one]
    timm_found = [one for one in of_timm if like in one]
    if not found and not timm_found:
        words = {part for one in (*published, *of_timm) for part in one.split("_")}
        raise InputError(f"--like {like}: no network has this in its name{meant(like, words)}")
    return _print(console, [*_with_weights(found), *timm_found])


def _print(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False)


def _with_weights(names: Sequence[str]) -> list[str]:
    return [
        f"{name}  {', '.join(backbones.weight_names(name)) or '--weights FILE'}" for name in names
    ]


def describe(name: str, wanted: Wanted, console: Console) -> None:
    """Print what a network is: weights, sizes, cost, suggested layers, and its layers.

    Raises ValueError if there is no such network, or if it does not take images of the size.
    """
    named = with_source(Backbone(name, FROM_FILE))
    if named.source is not None:
        remember(named.source)
    backbone = with_pixels(named)
    with torch.device("meta"):
        network = backbones.build_untrained(backbone)
    config = published_images(backbone)
    size = wanted.image_size or (USUAL_SIZE if config is None else config.image_size)
    shapes = shapes_of(network, size, name)
    mean, std = (", ".join(f"{one:.4g}" for one in values) for values in backbone.scale)
    lines = [
        name,
        f"weights: {', '.join(_weights(name)) or 'none published; give --weights FILE'}",
        f"pixels: mean {mean}; deviation {std}",
        f"trained with: {config or 'images of which nothing is published'}",
        *_given(backbone, config, wanted.data),
        _sizes(size_of(backbone, size), size),
        *(_cost(backbone, size, wanted.n_images) if wanted.n_images else ()),
    ]
    units = outline(network, shapes)
    lines.append(f"suggested: Encoding(layers={suggest(network, shapes)!r})")
    _print(console, lines)
    _show_layers([one for one in shapes if wanted.all_layers or one.name in units], size, console)


def _given(
    backbone: Backbone, config: PublishedImages | None, data: DataDirectory | None
) -> list[str]:
    """Say what becomes of an image before the network: unasked, with a crop, and of some data."""
    size = USUAL_SIZE if config is None else config.image_size
    lines = [
        f"given: the whole image, resized to {pixels(size)} without a crop (ingest --image-size "
        f"{size})"
    ]
    if config is not None and config.resized_to > size:
        lines.append(
            f"with crop='config': the centre of {size} pixels of the image at {config.resized_to} "
            f"(ingest --image-size {size},{config.resized_to})"
        )
    if data is not None:
        for shard in data.shards():
            lines.append(_of_subject(backbone, shard))
    return lines


def _of_subject(backbone: Backbone, shard: Path) -> str:
    """Say which of a subject's images the network is given, or why none serves it."""
    manifest = Manifest.read(shard)
    stored = ", ".join(map(str, manifest.image_sizes))
    try:
        chosen = chosen_for(backbone, [manifest]).image_size_in(manifest.image_size)
    except ValueError as error:
        return f"of {shard.name}: none; {error}"
    return f"of {shard.name}, which stores {stored}: {pixels(chosen)} ({manifest.interpolation})"


def _weights(name: str) -> list[str]:
    return timm_networks.tags(name) if name.startswith(TIMM) else backbones.weight_names(name)


def _sizes(found: BackboneSize, size: int) -> str:
    return (
        f"at {size} x {size} pixels: {found.parameter_bytes / 4e6:,.1f} million parameters, "
        f"{found.flops / 1e9:,.2f} GFLOP and {found.activation_bytes / 1e6:,.0f} MB of activations "
        "per image"
    )


def _cost(backbone: Backbone, size: int, n_images: int) -> list[str]:
    """Measure what a pass over images takes, and say on what."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    times = measure_passes(backbones.build_untrained(backbone), size, device)
    where = torch.cuda.get_device_name() if device.type == "cuda" else _processors()
    return [
        f"{count(n_images, 'image')} on {where}: features {duration(n_images * times.forward)}, an "
        f"epoch of fine-tuning {duration(n_images * times.training)} (measured on "
        f"{count(times.n_images, 'image')})"
    ]


def _processors() -> str:
    threads = torch.get_num_threads()
    return f"{count(threads, 'CPU')} of {os.cpu_count()}"


def _show_layers(shapes: Sequence[LayerShape], size: int, console: Console) -> None:
    table = new_table(f"layers at {size} x {size} pixels", "")
    for heading, justify in (("layer  ", "left"), ("shape  ", "left"), ("features", "right")):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for one in shapes:
        shape = " x ".join(map(str, one.shape))
        table.add_row(f"{one.name}  ", f"{shape}  ", f"{one.n_features:,}")
    console.print(table)
