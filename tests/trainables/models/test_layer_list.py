"""The layers that are listed and suggested, and the time of a pass."""

import pytest
import torch
from torch import nn

from trainables.models.backbones import build
from trainables.models.layer_list import outline, shapes_of, suggest
from trainables.models.pass_times import measure_passes
from trainables.spec import ALEXNET_LAYERS


def on_meta(architecture: str) -> nn.Module:
    with torch.device("meta"):
        return build(architecture)


def suggested(architecture: str, size: int = 224) -> tuple[str, ...]:
    network = on_meta(architecture)
    return suggest(network, shapes_of(network, size, architecture))


def test_the_paper_s_layers_are_suggested_for_its_network() -> None:
    assert suggested("alexnet") == suggested("narrow-alexnet", 64) == ALEXNET_LAYERS


BLOCKS = [f"blocks.{k}" for k in range(12)]


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        (
            "resnet18",
            "maxpool layer1.0 layer1.1 layer2.0 layer2.1 layer3.0 layer3.1 layer4.0 layer4.1 fc",
        ),
        (
            "timm/resnet10t.c3_in1k",
            "conv1.2 conv1.5 maxpool layer1.0 layer2.0 layer3.0 layer4.0 fc",
        ),
        (
            "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k",
            f"patch_embed {' '.join(BLOCKS[k] for k in (0, 2, 3, 5, 6, 8, 9, 11))} head",
        ),
        (
            "timm/convnext_atto.d2_in1k",
            "stem.0 stages.0.blocks.1 stages.1.blocks.0 stages.1.blocks.1 stages.2.blocks.0 "
            "stages.2.blocks.2 stages.2.blocks.4 stages.2.blocks.5 stages.3.blocks.0 head",
        ),
    ],
)
def test_blocks_are_suggested_evenly_over_depth(architecture, expected) -> None:
    assert " ".join(suggested(architecture)) == expected


@pytest.mark.parametrize(
    "architecture", ["vit_b_32", "efficientnet_b0", "swin_t", "timm/efficientnet_lite0.ra_in1k"]
)
def test_ten_layers_are_suggested_that_differ_and_are_in_order(architecture) -> None:
    network = on_meta(architecture)
    shapes = shapes_of(network, 224, architecture)
    found = suggest(network, shapes)
    assert len(found) == len(set(found)) == 10
    names = [one.name for one in shapes]
    assert [names.index(one) for one in found] == sorted(names.index(one) for one in found)
    assert names.index(found[0]) < len(names) / 5
    assert found[-1] in names[-3:]


def test_a_network_within_another_is_opened() -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = on_meta("alexnet")

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.inner(images)
            return found

    wrapper = Wrapper()
    shapes = shapes_of(wrapper, 224, "a wrapper")
    assert suggest(wrapper, shapes) == tuple(f"inner.{one}" for one in ALEXNET_LAYERS)
    assert "inner" not in outline(wrapper, shapes)


def test_shapes_are_those_of_an_image() -> None:
    found = {one.name: one for one in shapes_of(on_meta("resnet50"), 224, "resnet50")}
    assert found["layer1"].shape == (256, 56, 56)
    assert found["layer1"].n_features == 802_816
    assert list(found).index("layer1.0.relu") < list(found).index("layer1")


def test_a_pass_is_measured_and_training_takes_longer() -> None:
    times = measure_passes(build("narrow-alexnet"), 64, torch.device("cpu"))
    assert times.n_images >= 8
    assert 0 < times.forward < times.training < 5
