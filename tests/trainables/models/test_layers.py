"""Layers by name: hooks, the graph and timm's own intermediates agree, and tokens have names."""

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from tests.builders.timm_backbones import NAMES, NETWORKS, RESNET, VIT, Network, some_images
from trainables.models.backbones import build, check_layers
from trainables.models.layers import (
    ViewedLayers,
    graph_nodes,
    layer_extractor,
    out_of_place,
    take_tokens,
)
from trainables.models.normalisation import normalise
from trainables.spec import Backbone


@pytest.fixture(scope="module", params=NETWORKS, ids=NAMES)
def network(request: pytest.FixtureRequest) -> nn.Module:
    made: Network = request.param
    return made.build()


@torch.no_grad()
def read(network: nn.Module, *layers: str) -> dict[str, Tensor]:
    extractor = layer_extractor(network, layers)
    with out_of_place(extractor):
        found: dict[str, Tensor] = extractor(normalise(some_images(), network))
    return found


def test_hooks_agree_with_timm_s_intermediates(network) -> None:
    with torch.no_grad():
        pixels = normalise(some_images(), network)
        expected = network.forward_intermediates(pixels, intermediates_only=True)
    names = [one["module"] for one in network.feature_info]
    assert len(names) == len(expected) >= 4
    is_vit = hasattr(network, "num_prefix_tokens")
    layers = [f"{name}:grid" if is_vit else name for name in names]
    found = read(network, *layers)
    for layer, one in zip(layers, expected, strict=True):
        torch.testing.assert_close(found[layer], one, rtol=1e-5, atol=1e-5)
        assert one.std() > 0


def test_hooks_agree_with_the_graph_at_every_layer_that_both_have(network) -> None:
    modules = {name for name, _ in network.named_modules()}
    nodes = [node for node in graph_nodes(network) if node in modules]
    assert len(nodes) >= 50
    graph = ViewedLayers(network, nodes, nodes)
    with torch.no_grad(), out_of_place(graph):
        by_graph = graph(normalise(some_images(), network))
    by_hooks = read(network, *nodes)
    for node in nodes:
        if not node.endswith("bn2"):  # the shortcut is added to it in place, in the graph alone
            torch.testing.assert_close(by_hooks[node], by_graph[node], rtol=1e-5, atol=1e-5)


def test_a_module_of_modules_is_a_layer_of_torchvision_s_networks_too() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build("resnet18").eval()
    pixels = normalise(some_images())
    with torch.no_grad():
        x = network.maxpool(network.relu(network.bn1(network.conv1(pixels))))
        expected = network.layer2(network.layer1(x))
        first = network.layer1[0]
        normalised = first.bn1(first.conv1(x))
        summand = first.bn2(first.conv2(normalised.relu()))
    found = read(network, "layer2", "layer1.0.bn1", "layer1.0.bn2", "layer1.0.relu")
    assert torch.equal(found["layer1.0.bn2"], summand)  # the shortcut is added to it in place
    assert torch.equal(found["layer2"], expected)
    assert torch.equal(found["layer1.0.bn1"], normalised)  # the ReLU after it works in place
    assert torch.equal(found["layer1.0.relu"], normalised.relu())  # the first of two calls


def test_nodes_and_modules_are_read_together() -> None:
    found = read(RESNET.build(), "layer1.0.add", "layer1.0.act2", "layer1")
    assert torch.equal(found["layer1.0.act2"], found["layer1"])
    assert torch.equal(found["layer1.0.add"].relu(), found["layer1"])


def test_a_pass_ends_after_the_last_layer() -> None:
    network = VIT.build()
    network.blocks[4].register_forward_hook(lambda *_: pytest.fail("computed for nothing"))
    assert read(network, "blocks.3")["blocks.3"].shape == (3, 1 + 2 * 2, 192)


def test_tokens_by_name_leave_class_and_registers_out_of_mean_and_grid() -> None:
    found = read(VIT.build(), "blocks.3", "blocks.3:cls", "blocks.3:mean", "blocks.3:grid")
    tokens = found["blocks.3"]
    assert torch.equal(found["blocks.3:cls"], tokens[:, 0])
    assert torch.equal(found["blocks.3:mean"], tokens[:, 1:].mean(1))
    assert found["blocks.3:grid"].shape == (3, 192, 2, 2)
    assert torch.equal(found["blocks.3:grid"][:, :, 1, 0], tokens[:, 3])
    marked = torch.arange(1 + 4 + 9.0).reshape(1, -1, 1)
    assert take_tokens(marked, "mean", 5).item() == marked[0, 5:].mean().item()
    assert take_tokens(marked, "grid", 5)[0, 0, 0].tolist() == [5, 6, 7]


def test_tokens_of_torchvision_s_transformers_and_registers_of_dinov2_are_known() -> None:
    with torch.device("meta"):
        of_torchvision = layer_extractor(models.vit_b_32(), ["encoder.layers.encoder_layer_3:grid"])
        dino = build("timm/vit_small_patch14_reg4_dinov2.lvd142m")
        of_dino = layer_extractor(dino, ["blocks.2", "blocks.2:grid", "norm:cls"])
        shapes = [
            {k: tuple(v.shape) for k, v in one(torch.zeros(2, 3, size, size)).items()}
            for one, size in ((of_torchvision, 224), (of_dino, 56))
        ]
    assert shapes[0] == {"encoder.layers.encoder_layer_3:grid": (2, 768, 7, 7)}
    assert shapes[1] == {
        "blocks.2": (2, 1 + 4 + 16, 384),
        "blocks.2:grid": (2, 384, 4, 4),
        "norm:cls": (2, 384),
    }


def test_the_maps_of_a_network_with_channels_last_are_averaged_over_their_places() -> None:
    with torch.device("meta"):
        swin = build("timm/swin_tiny_patch4_window7_224.ms_in1k").eval()
        extractor = layer_extractor(swin, ["layers.1", "layers.1:mean", "layers.1:grid"])
        found = extractor(torch.zeros(2, 3, 64, 64))
    assert [tuple(one.shape[1:]) for one in found.values()] == [(8, 8, 192), (192,), (192, 8, 8)]


@pytest.mark.parametrize(
    ("architecture", "layer", "message"),
    [
        ("alexnet", "features.2:cls", "features.2:cls: expected a layer of tokens"),
        ("alexnet", "features.2:max", "expected cls or mean or grid after the colon, found 'max'"),
        (
            "alexnet",
            "features.99:mean",
            r"layers \['features.99'\]; did you mean 'features.9'",
        ),
        ("timm/vit_base_patch16_siglip_224.webli", "blocks.1:cls", "no class token; use :mean"),
        ("vit_b_32", "encoder.layers.encoder_layer_0.self_attention", "no features of each image"),
        ("vit_b_32", "encoder.layers.encoder_layer_0.self_attention.out_proj", "does not call"),
        ("timm/vit_tiny_patch16_224.augreg_in21k", "block.3", "did you mean 'blocks.3'"),
    ],
)
def test_a_layer_without_features_is_refused_with_the_reason(architecture, layer, message) -> None:
    with pytest.raises(ValueError, match=message):
        check_layers(Backbone(architecture), [layer], 224)
