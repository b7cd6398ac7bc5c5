"""Networks of timm: their names and tags, the scale of their pixels, and their weights."""

import re
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import resolve_model_data_config
from timm.models import _builder
from torchvision import models

from tests.builders.timm_backbones import NAMES, NETWORKS, RESNET, VIT, some_images
from trainables.models.backbone_facts import has_weights, with_pixels
from trainables.models.backbones import build, check_layers, load
from trainables.models.normalisation import normalise
from trainables.models.timm_networks import data_config, names, tags
from trainables.models.weights_name import weights_name
from trainables.spec import FROM_FILE, Backbone
from trainables.spec.backbone import IMAGENET_MEAN, IMAGENET_STD, OTHER_PIXELS

CLIP = "timm/vit_base_patch16_clip_224.openai"
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_a_tag_is_one_name_wherever_it_is_written() -> None:
    whole = Backbone(CLIP)
    assert whole == Backbone("timm/vit_base_patch16_clip_224", "openai") == Backbone(CLIP, "openai")
    assert (whole.architecture, whole.weights) == (CLIP, "openai")
    assert replace(whole, weights=FROM_FILE).architecture == CLIP


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Backbone("timm/convnext_atto"), "expected the tag of its weights, as in timm/"),
        (lambda: Backbone(CLIP, "laion2b"), "expected weights 'openai' or FROM_FILE, found"),
        (lambda: Backbone(pixels=((0, 0, 0), (0, 1, 1))), "pixels"),
        (
            lambda: build("timm/convnext_ato"),
            "no network of this name.* did you mean 'timm/convnext_at",
        ),
        (lambda: build("timm/hf-hub:a/b"), "no network of this name"),
        (lambda: build("timm/resnet10t.c9"), r"unknown weights 'c9' for timm/resnet10t; .*c3_in1k"),
        (lambda: check_layers(VIT.backbone, ["blocks.1"], 40), "does not accept images of 40"),
    ],
)
def test_what_is_no_backbone_of_timm_is_refused_with_the_cure(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_there_are_many_networks_and_each_tag_is_of_one() -> None:
    found = names()
    assert len(found) > 1500
    assert {CLIP, VIT.architecture, RESNET.architecture} <= set(found)
    assert "c3_in1k" in tags("timm/resnet10t")
    assert not any(one.startswith("384") for one in tags("timm/vit_base_patch16_clip_224"))


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_pixels_are_scaled_as_timm_scales_them(network) -> None:
    made = network.build()
    config = resolve_model_data_config(
        timm.create_model(network.architecture.removeprefix("timm/"))
    )
    mean, std = (torch.tensor(config[one]).view(1, 3, 1, 1) for one in ("mean", "std"))
    images = some_images()
    torch.testing.assert_close(normalise(images, made), (images / 255 - mean) / std)
    assert data_config(network.architecture) == config


def test_a_scale_that_is_not_imagenet_s_is_in_the_backbone_and_one_of_its_own_is_kept() -> None:
    vit, resnet = with_pixels(VIT.backbone), with_pixels(RESNET.backbone)
    assert (vit.pixels, resnet.pixels) == (HALVES, None)
    assert "pixels" not in resnet.content
    assert vit.content["pixels"] == HALVES
    assert with_pixels(replace(resnet, pixels=HALVES)).scale == HALVES
    assert with_pixels(Backbone(CLIP)).scale[0] == (0.48145466, 0.4578275, 0.40821073)
    assert with_pixels(Backbone("efficientnet_v2_l")).scale == HALVES
    assert with_pixels(Backbone()) == Backbone()


def test_every_network_of_torchvision_that_is_not_of_imagenet_s_scale_is_listed() -> None:
    others = {}
    for name in models.list_models(module=models):
        for one in models.get_model_weights(name):
            scale = one.transforms()
            found = (tuple(scale.mean), tuple(scale.std))
            has_head = one.name != "IMAGENET1K_FEATURES"  # others are refused: theirs is NaN
            if has_head and found != (IMAGENET_MEAN, IMAGENET_STD):
                others[name] = found
    assert others == OTHER_PIXELS


def test_weights_of_images_of_another_size_are_interpolated() -> None:
    """At its own size a transformer is the one that timm builds for it."""
    ours = VIT.build()
    theirs = timm.create_model(VIT.architecture.removeprefix("timm/")).eval()
    theirs.load_state_dict(ours.state_dict())
    images = normalise(some_images(1, 224), ours)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))
        assert ours(images[..., :48, :48]).shape == (1, 1000)


def test_published_weights_are_loaded_by_timm_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    state = RESNET.build().state_dict()
    asked = []

    def offline(name: str, **options: object) -> dict[str, torch.Tensor]:
        asked.append((name, options["weights_only"]))
        return dict(state)

    monkeypatch.setattr(_builder, "load_state_dict_from_hf", offline)
    backbone = Backbone(RESNET.architecture)
    assert all(torch.equal(v, state[k]) for k, v in load(backbone).state_dict().items())
    assert asked == [("timm/resnet10t.c3_in1k", True)]
    state["fc.bias"][0] = torch.nan
    with pytest.raises(ValueError, match=r"timm's c3_in1k: does not fit timm/resnet10t.*hold NaN"):
        load(backbone)


def test_without_a_network_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(_builder, "load_state_dict_from_hf", offline)
    expected = r"its weights c3_in1k could not be downloaded \(no route.*or give --weights FILE"
    with pytest.raises(ValueError, match=expected):
        load(Backbone(RESNET.architecture))


def test_weights_that_were_downloaded_are_known(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / "cache"))
    state = RESNET.build().state_dict()
    place = tmp_path / "model.safetensors"
    there: dict[tuple[str, str], str] = {}
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *asked: there.get(asked))
    monkeypatch.setattr(_builder, "load_state_dict_from_hf", lambda *_, **__: dict(state))
    backbone = Backbone(RESNET.architecture)
    assert not has_weights(backbone, None)
    save_file(state, place)
    there["timm/resnet10t.c3_in1k", "model.safetensors"] = str(place)
    assert has_weights(backbone, None)


def test_weights_of_a_file_have_the_scale_of_the_tag(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(VIT.build().state_dict(), path)
    backbone = with_pixels(Backbone(VIT.architecture, weights_name(path)))
    images = some_images()
    assert torch.equal(normalise(images, load(backbone, path)), normalise(images, VIT.build()))
    assert not torch.equal(normalise(images, load(backbone, path)), normalise(images))
    assert re.fullmatch("sha256:[0-9a-f]{16}", backbone.weights)
