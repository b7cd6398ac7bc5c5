"""The command that lists image networks and describes one."""

import pytest

from orchestrator.backbones.__main__ import main
from trainables.spec import ALEXNET_LAYERS


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(arguments) == 0
    return capsys.readouterr().out.splitlines()


def test_the_list_has_torchvision_s_networks_and_counts_timm_s(capsys) -> None:
    lines = shown(capsys)
    assert "alexnet  IMAGENET1K_V1" in lines
    assert "resnet50  IMAGENET1K_V1, IMAGENET1K_V2" in lines
    assert "narrow-alexnet  --weights FILE" in lines
    assert lines[-1].endswith("of timm: --like vit lists those whose name has it")


def test_a_text_in_the_name_finds_networks_of_both(capsys) -> None:
    lines = shown(capsys, "--like", "convnext_tiny")
    assert lines[0] == "convnext_tiny  IMAGENET1K_V1"
    assert "timm/convnext_tiny.in12k_ft_in1k" in lines
    assert all("convnext_tiny" in line for line in lines)


def test_a_network_is_described_with_layers_that_can_be_copied(capsys) -> None:
    text = "\n".join(shown(capsys, "alexnet"))
    assert f"Encoding(layers={ALEXNET_LAYERS!r})" in text
    assert "61.1 million parameters, 1.43 GFLOP" in text
    assert "224 x 224 pixels, the centre of the image at 256 (bilinear)" in text
    [row] = [line.split() for line in text.splitlines() if line.startswith(" features.2 ")]
    assert row[-1] == "46,656"


def test_a_network_of_timm_has_its_tags_its_scale_and_its_cost(capsys) -> None:
    name = "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    text = "\n".join(shown(capsys, name, "--image-size", "32", "--n-images", "9000"))
    assert "weights: augreg_in21k, augreg_in21k_ft_in1k" in text
    assert "mean 0.5, 0.5, 0.5; deviation 0.5, 0.5, 0.5" in text
    assert "9,000 images on " in text
    assert "an epoch of fine-tuning" in text
    assert "5 x 192" in text  # the class token and 2 x 2 patches
    assert "blocks.0.attn.qkv" not in text
    assert "blocks.0.attn.qkv" in "\n".join(shown(capsys, name, "--all-layers"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("alexent",), "unknown backbone 'alexent'"),
        (("timm/convnext_ato",), "did you mean 'timm/convnext_atto'?"),
        (("timm/resnet10t.none",), "expected one of ['c3_in1k'], or FROM_FILE"),
        (("vit_b_16", "--image-size", "64"), "does not accept images of 64 x 64 pixels"),
        (("--like", "zzz"), "--like zzz: no network has this in its name"),
        (("--n-images", "3"), "--image-size, --n-images, --all-layers and --data: expected a NAME"),
        (("alexnet", "--like", "alex"), "NAME and --like: expected one of the two"),
    ],
)
def test_what_is_wrong_is_one_line(capsys, arguments, message) -> None:
    assert main(arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    [line] = streams.err.splitlines()
    assert message in line
