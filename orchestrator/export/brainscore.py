"""Backbones as model plug-ins of Brain-Score, which fits readouts of its own to their layers.

A plug-in is a folder for ``brainscore_vision/models``: ``__init__.py`` registers the model,
``model.py`` builds it from ``backbone.safetensors``, and ``region_layer_map/ID.json`` commits a
layer to each of V1, V2, V4 and IT where the exported ROIs cover all of them. Without that file
Brain-Score chooses among the layers itself.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from torch import nn

from orchestrator.cli.errors import InputError
from orchestrator.cli.text import count
from orchestrator.encoding_models.config import BACKBONE
from orchestrator.encoding_models.files import write_backbone
from orchestrator.export.brainscore_files import FILES
from orchestrator.export.choice import Chosen
from orchestrator.export.refit import Sources, load_backbone
from orchestrator.export.write import temporary_directory
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest
from trainables.models.backbones import OWN_ARCHITECTURES
from trainables.models.timm_networks import size_options
from trainables.results.provenance import code_version
from trainables.spec.backbone import FILE_BUILDER, TIMM, Channels
from trainables.spec.evaluation import training_of
from trainables.spec.rois import HIGHER
from trainables.storage.atomic import write_text
from trainables.storage.local_files import rename

REGIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "V1": ("V1v", "V1d", "V1"),
    "V2": ("V2v", "V2d", "V2"),
    "V4": ("hV4", "V4"),
    "IT": (*HIGHER, "ventral"),
}
"""The ROIs of each of Brain-Score's regions."""
VISUAL_DEGREES: Final[Mapping[str, int]] = {"nsd": 8, "nod": 16}
"""Width of the images in the experiment, in whole degrees (NSD's 8.4 rounded)."""
USUAL_DEGREES: Final = 8


@dataclass(frozen=True)
class Plugin:
    """What a plug-in's files say."""

    identifier: str
    """Its name in Brain-Score, and that of its folder: a Python identifier."""
    architecture: str
    method: str
    """The method, and whether its responses were simulated."""
    layers: tuple[str, ...]
    """Modules of the backbone, in their order."""
    region_layers: Mapping[str, str]
    """The layer of each of Brain-Score's regions; empty unless all are known."""
    image_size: int
    visual_degrees: int
    pixels: tuple[Channels, Channels]
    """Mean and deviation of each channel."""
    source: str | None = None
    """The text of the user's file that builds the network, if it is of one."""


def write_plugin(out: Path, plugin: Plugin, network: nn.Module) -> Path:
    """Write a plug-in's folder, complete or not at all; return it."""
    n_parameters = sum(one.numel() for one in network.parameters())
    values = {
        "identifier": plugin.identifier,
        "architecture": plugin.architecture,
        "method": plugin.method,
        "code": code_version(),
        "layers": repr(list(plugin.layers)),
        "image_size": plugin.image_size,
        "visual_degrees": plugin.visual_degrees,
        "n_parameters": n_parameters,
        "mean": plugin.pixels[0],
        "std": plugin.pixels[1],
        **_origin(plugin),
    }
    with temporary_directory(out, plugin.identifier) as directory:
        write_backbone(directory / BACKBONE, network)
        for name, template in FILES.items():
            write_text(directory / name, template.format(**values))
        if plugin.source is not None:
            write_text(directory / "network.py", plugin.source)
        if plugin.region_layers:
            path = directory / "region_layer_map" / f"{plugin.identifier}.json"
            path.parent.mkdir()
            write_text(path, json.dumps(dict(plugin.region_layers)) + "\n")
        rename(directory, out / plugin.identifier)
    return out / plugin.identifier


def _origin(plugin: Plugin) -> dict[str, object]:
    """Return where a plug-in's network comes from: the call that builds it, and its package."""
    architecture = plugin.architecture
    if plugin.source is not None:
        found = FILE_BUILDER.fullmatch(architecture)
        assert found is not None  # a backbone with source has such a name
        place, builder, package, arguments = ".network", found["function"], "", ""
    elif architecture in OWN_ARCHITECTURES:
        place, builder, package = "trainables.models.backbones", "build", "cortex-sweep"
        arguments = repr(architecture)
    elif architecture.startswith(TIMM):
        place, builder, package = "timm", "create_model", "timm"
        options = size_options(architecture)
        named = [f"{name}={value}" for name, value in options.items()]
        arguments = ", ".join([repr(architecture.removeprefix(TIMM)), *named])
    else:
        place, builder, package = "torchvision.models", "get_model", "torchvision"
        arguments = repr(architecture)
    return {"module": place, "builder": builder, "package": package, "arguments": arguments}


def export_plugins(sources: Sources, chosen: Sequence[Chosen], out: Path, console: Console) -> None:
    """Write the backbones of chosen models that are not there yet as plug-ins.

    Raises InputError for a layer that is no module, which Brain-Score cannot read.
    """
    groups: dict[str, list[Chosen]] = {}
    for one in chosen:
        groups.setdefault(_identifier(one), []).append(one)
    for identifier, group in groups.items():
        if (out / identifier).exists():
            console.print(f"already there: {out / identifier}", highlight=False, soft_wrap=True)
            continue
        network = load_backbone(sources, group[0])
        plugin = _describe(identifier, group, network, sources.data)
        path = write_plugin(out, plugin, network)
        regions = ", ".join(f"{r} {layer}" for r, layer in plugin.region_layers.items())
        choice = regions or "chosen by Brain-Score: the ROIs are not of V1, V2, V4 and IT"
        line = f"{path}: {count(len(plugin.layers), 'layer')}; regions: {choice}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _identifier(chosen: Chosen) -> str:
    return re.sub(r"\W+", "_", f"cortex_sweep_{chosen.work_item.training_id}")


def _describe(
    identifier: str, group: Sequence[Chosen], network: nn.Module, data: DataDirectory
) -> Plugin:
    modules = [name for name, _ in network.named_modules()]
    wanted = {one.layer for one in group}
    missing = sorted(wanted - set(modules))
    if missing:
        raise InputError(
            f"--format brainscore: {', '.join(missing)} of {group[0].work_item.id} is no module of "
            "the backbone, and Brain-Score reads modules; sweep with other layers"
        )
    trial = training_of(group[0].work_item)
    if trial.backbone.crop is not None:
        raise InputError(
            f"--format brainscore: {group[0].work_item.id} crops its images, and Brain-Score shows "
            "whole ones; sweep without crop"
        )
    manifest = Manifest.read(data.shard(group[0].roi.shard))
    return Plugin(
        identifier=identifier,
        architecture=trial.backbone.architecture,
        method=trial.method + (", simulated responses" if manifest.is_simulated else ""),
        layers=tuple(name for name in modules if name in wanted),
        region_layers=region_layers(group),
        image_size=group[0].work_item.backbone.image_size_in(manifest.image_size),
        pixels=trial.backbone.scale,
        source=trial.backbone.source,
        visual_degrees=VISUAL_DEGREES.get(manifest.dataset, USUAL_DEGREES),
    )


def region_layers(group: Iterable[Chosen]) -> dict[str, str]:
    """Choose each region's layer: the one of most vertices of its ROIs, of equal ones the first.

    Returns an empty dictionary unless every region has an ROI: Brain-Score takes all or none.
    """
    votes: dict[str, Counter[str]] = {region: Counter() for region in REGIONS}
    for one in group:
        for region, roi_names in REGIONS.items():
            if one.roi.name in roi_names:
                votes[region][one.layer] += one.roi.n_vertices
    if not all(votes.values()):
        return {}
    return {
        region: sorted(layers.items(), key=lambda one: (-one[1], one[0]))[0][0]
        for region, layers in votes.items()
    }
