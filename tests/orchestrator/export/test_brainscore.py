"""Plug-ins of Brain-Score: what they register, their layers' activations, and what is refused."""

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn
from torchvision import models

from orchestrator.cli.errors import InputError
from orchestrator.encoding_models.layer_reader import LayerReader
from orchestrator.export.brainscore import Plugin, export_plugins, region_layers, write_plugin
from orchestrator.export.brainscore_files import FILES
from orchestrator.export.choice import Asked, choose
from orchestrator.export.refit import Sources
from tests.builders.exported_models import Swept
from trainables.data.data_directory import DataDirectory
from trainables.models.normalisation import normalise, set_pixels
from trainables.results.run_directory import RunDirectory

ACTIVATIONS = "brainscore_vision.model_helpers.activations.pytorch"
COMMITMENT = "brainscore_vision.model_helpers.brain_transformation"

PIXELS = ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


class Wrapper:
    """Stands in for Brain-Score's PytorchWrapper: the output of each layer, by a hook."""

    def __init__(self, identifier: str, model: nn.Module, preprocessing: Any) -> None:
        self.identifier, self.model, self.preprocessing = identifier, model, preprocessing

    def activations(self, images: torch.Tensor, layers: list[str]) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        for layer in layers:
            module = self.model.get_submodule(layer)
            module.register_forward_hook(lambda _m, _i, out, name=layer: found.update({name: out}))
        with torch.no_grad():
            self.model(images)
        return found


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The registry of a stand-in for brainscore_vision."""
    known: dict[str, Any] = {}
    contents = {
        "brainscore_vision": {"model_registry": known},
        "brainscore_vision.model_helpers": {},
        "brainscore_vision.model_helpers.activations": {},
        ACTIVATIONS: {"PytorchWrapper": Wrapper, "load_preprocess_images": dict},
        COMMITMENT: {"ModelCommitment": SimpleNamespace},
    }
    for name, values in contents.items():
        module = ModuleType(name)
        module.__dict__.update(values)
        monkeypatch.setitem(sys.modules, name, module)
    return known


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new folder of packages, of which none stays imported."""
    folder = tmp_path / "plugins"
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith("cortex_sweep_"):
            del sys.modules[name]


def test_a_plugin_reads_the_layers_of_the_backbone(plugins: Path, registry: dict[str, Any]) -> None:
    """features.0 and features.3.squeeze are followed by a ReLU that works in place."""
    torch.manual_seed(0)
    network = models.squeezenet1_1(num_classes=1000).eval()
    layers = ("features.0", "features.3.squeeze", "features.12.expand1x1")
    regions = {"V1": layers[0], "V2": layers[0], "V4": layers[1], "IT": layers[2]}
    name = "cortex_sweep_squeezed"
    plugin = Plugin(name, "squeezenet1_1", "regression", layers, regions, 64, 8, PIXELS)
    path = write_plugin(plugins, plugin, network)
    importlib.import_module(name)
    commitment = registry[name]()
    assert (commitment.identifier, commitment.layers) == (name, list(layers))
    assert commitment.visual_degrees == 8
    wrapper = commitment.activations_model
    assert wrapper.image_size == wrapper.preprocessing.keywords["image_size"] == 64
    scale = tuple(wrapper.preprocessing.keywords[f"normalize_{one}"] for one in ("mean", "std"))
    assert scale == PIXELS
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    expected = LayerReader(set_pixels(network, PIXELS), layers).read(images)
    found = wrapper.activations(normalise(images, network), commitment.layers)
    for layer in layers:
        torch.testing.assert_close(found[layer].flatten(1), expected[layer], rtol=1e-4, atol=1e-5)
    assert (expected["features.0"] < 0).any()  # as before the ReLU
    written = (path / "region_layer_map" / f"{name}.json").read_text(encoding="utf-8")
    assert json.loads(written) == regions
    assert f"model_registry['{name}']" in (path / "__init__.py").read_text(encoding="utf-8")
    files = {*FILES, "backbone.safetensors", "region_layer_map"}
    assert {one.name for one in path.iterdir()} == files


def test_the_command_writes_each_backbone_once(
    swept: Swept, plugins: Path, registry: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    trials = ["--trials", swept.untuned.id, swept.tuned.id]
    command = [*trials, "--format", "brainscore", "--out", str(plugins)]
    assert swept.export(*command) == 0
    found = sorted(path.name for path in plugins.iterdir())
    tuned = next(name for name in found if "regression" in name)
    assert len(found) == 2
    importlib.import_module(tuned)
    commitment = registry[tuned]()
    assert commitment.layers == ["1"]
    assert not (plugins / tuned / "region_layer_map").exists()
    assert "chosen by Brain-Score" in capsys.readouterr().out
    assert swept.export(*command) == 0
    assert capsys.readouterr().out.count("already there") == 2


def test_a_layer_that_is_no_module_is_refused(swept: Swept, tmp_path: Path) -> None:
    runs, out = RunDirectory(swept.home / "runs"), tmp_path / "plugins"
    [chosen] = choose(runs, Asked((swept.tuned.id,)))
    data = DataDirectory(swept.home / "data")
    sources = Sources(runs, data, None, torch.device("cpu"), tmp_path)
    with pytest.raises(InputError, match=r"flatten of regression-.* is no module"):
        export_plugins(sources, [replace(chosen, layer="flatten")], out, Console())
    assert not out.exists()


def of(roi_name: str, layer: str, n_vertices: int) -> Any:
    return SimpleNamespace(roi=SimpleNamespace(name=roi_name, n_vertices=n_vertices), layer=layer)


def test_the_layer_of_a_region_is_that_of_most_of_its_vertices() -> None:
    group = [
        of("V1v", "a", 30), of("V1d", "b", 20), of("V1d", "b", 15),
        of("V2v", "b", 10), of("V2d", "a", 10), of("hV4", "c", 5),
        of("EBA", "d", 50), of("ventral", "e", 60), of("PPA", "d", 20), of("early", "z", 900),
    ]  # fmt: skip
    assert region_layers(group) == {"V1": "b", "V2": "a", "V4": "c", "IT": "d"}
    assert region_layers([one for one in group if one.roi.name != "hV4"]) == {}


def test_options_of_readouts_are_refused(
    swept: Swept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "plugins"
    for option in (["--half"], ["--fit", "all"]):
        assert swept.export("--format", "brainscore", *option, "--out", str(out)) == 2
        assert "a plug-in has no readout" in capsys.readouterr().err
    assert not out.exists()
