"""Networks without initial values: the same weights as those that are built with them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.builders.timm_backbones import VIT
from trainables.models import backbones
from trainables.models.weightless import build_weightless, put_weights
from trainables.models.weights_name import weights_name
from trainables.spec import Backbone


class Tied(nn.Module):
    """Two names of one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight


class Hidden(nn.Module):
    """A buffer that is no part of the state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.register_buffer("scale", torch.full((1,), 7.0), persistent=False)


class Attribute(nn.Module):
    """A tensor that is neither a parameter nor a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.scale = torch.full((1,), 7.0)


class Computing(nn.Module):
    """A network that computes with values when it is built."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, int(torch.tensor(3)))


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("build", "is_meta"),
    [(small, True), (Tied, False), (Hidden, False), (Attribute, False), (Computing, False)],
)
def test_a_network_with_weights_is_as_one_that_had_initial_values(
    build: Callable[[], nn.Module], is_meta: bool
) -> None:
    state = {name: value.clone() for name, value in build().state_dict().items()}
    network = build_weightless(build)
    assert next(network.parameters()).is_meta is is_meta
    put_weights(network, state)
    expected = build()
    expected.load_state_dict(state)
    assert network.state_dict().keys() == expected.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name])
    for one, other in zip(network.parameters(), expected.parameters(), strict=True):
        assert one.requires_grad == other.requires_grad
    if isinstance(network, Tied):
        assert network.first.weight is network.second.weight
    if isinstance(network, Hidden | Attribute):
        assert network.scale.item() == 7.0


def test_weights_that_share_memory_in_a_file_are_trained_apart() -> None:
    both = torch.ones(2, 4)
    state = {"0.weight": both[:1], "0.bias": torch.zeros(1), "1.weight": both[:1]}
    state["1.bias"] = state["0.bias"]

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 1), nn.Linear(4, 1))

    network = put_weights(build_weightless(build), state)
    with torch.no_grad():
        for parameter in network[0].parameters():
            parameter.fill_(5.0)
    assert both.eq(1).all()
    assert not network[1].weight.eq(5).any()
    assert not network[1].bias.eq(5).any()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("name", ["narrow-alexnet", VIT.architecture])
def test_a_backbone_draws_no_initial_values_and_does_not_change_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, suffix: str
) -> None:
    from safetensors.torch import save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = backbones.build(name).state_dict()
    path = tmp_path / f"w{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    backbone = Backbone(name, weights_name(path))
    before = torch.get_rng_state()
    network = backbones.load(backbone, path)
    assert torch.equal(torch.get_rng_state(), before)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(bytes(size))
    loaded: dict[str, Tensor] = network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.items())
    assert all(value.data_ptr() % 64 == 0 for value in loaded.values())
