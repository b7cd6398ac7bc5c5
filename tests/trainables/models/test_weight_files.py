"""Files of weights: shards and their index, and refusals with the line that saves weights."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.trainables.models.test_weights import STATE, State, loaded, network, with_entry
from trainables.models.backbone_facts import WeightsFile
from trainables.models.weights import read_state
from trainables.models.weights_name import weights_name


class Options:
    """Hyper-parameters that are an object of the training's own code."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": STATE, "hyper_parameters": Options()}, rf"{__name__}.Options, which is n"),
        (network(), r"torch.nn.modules.container.Sequential, which is not loaded"),
    ],
)
def test_an_object_beside_the_weights_is_named_with_what_saves_them_alone(
    tmp_path, content, message
) -> None:
    path = tmp_path / "epoch=3.ckpt"
    torch.save(content, path)
    with pytest.raises(ValueError) as refusal:
        read_state(path)
    text = str(refusal.value)
    assert re.search(
        rf"^{re.escape(str(path))}: not a readable state dict .*It holds {message}", text
    )
    assert text.endswith("torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW)")


def test_a_torchscript_archive_is_refused_with_what_saves_its_weights(tmp_path) -> None:
    path = tmp_path / "clip.pt"
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)
    with pytest.raises(
        ValueError, match=r"clip.pt: is a TorchScript archive.*torch.jit.load\(FILE"
    ):
        read_state(path)


def shards(home: Path, state: State = STATE) -> Path:
    """Write a state dict as two files of safetensors and their index."""
    names = sorted(state)
    files = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, own in files.items():
        save_file({name: state[name].contiguous() for name in own}, home / file)
    index = {"metadata": {}, "weight_map": {n: file for file, own in files.items() for n in own}}
    path = home / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    return path


def test_shards_load_by_their_index_and_are_named_by_the_content_of_all(tmp_path) -> None:
    path = shards(tmp_path)
    found = loaded(path)
    assert all(torch.equal(value, STATE[name]) for name, value in found.items())
    first, state = weights_name(path), WeightsFile.of(path).state
    assert (weights_name(shards(tmp_path)), len(state)) == (first, 9)
    shards(tmp_path, with_entry("3.bias", STATE["3.bias"] + 1))
    assert weights_name(path) != first
    assert WeightsFile.of(path).state != state


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "not a readable index of weights (not JSON"),
        ("[1]", "expected an entry weight_map with files by weight; download"),
        ('{"weight_map": {}}', "expected an entry weight_map"),
        ('{"weight_map": {"0.weight": 3}}', "'0.weight': expected a file of the same directory, f"),
        ('{"weight_map": {"0.weight": "../a.safetensors"}}', "found '../a.safetensors'; download"),
        (
            '{"weight_map": {"0.weight": "c.safetensors"}}',
            "names 1 files of weights, of which 1 are not in its directory, such as c.safetensors",
        ),
        ('{"weight_map": {"0.weight": "a.safetensors"}}', "first '0.bias'; download them again"),
    ],
)
def test_a_damaged_index_of_shards_is_refused_in_one_line(tmp_path, index, message) -> None:
    path = shards(tmp_path)
    path.write_text(index)
    with pytest.raises(ValueError) as refusal:
        read_state(path)
    text = str(refusal.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert "\n" not in text
