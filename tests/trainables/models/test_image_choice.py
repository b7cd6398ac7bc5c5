"""Sizes and crops of images: which ones a network is given, and the published transforms."""

import re

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torchvision import models

from orchestrator.ingest.pixels import resized
from trainables.models import image_choice
from trainables.models.backbone_facts import with_pixels
from trainables.models.backbones import build_scaled
from trainables.models.image_choice import choose_images, published_images
from trainables.models.normalisation import normalise, set_pixels
from trainables.spec import FROM_FILE, Backbone

VIT = "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"
DINO = "timm/vit_small_patch14_dinov2.lvd142m"
RESNET = "timm/resnet10t.c3_in1k"


def photograph() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (425, 425, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def given(backbone: Backbone, image: Image.Image, size_of_rows: int = 0) -> torch.Tensor:
    """Return what a network is given of an image that is stored as ingest does."""
    config = published_images(backbone)
    size = backbone.image_size_in(size_of_rows)
    stored = torch.from_numpy(resized(image, size, config.interpolation))
    network = set_pixels(torch.nn.Identity(), backbone.scale, backbone.crop_size)
    return normalise(stored[None], network)


@pytest.mark.parametrize("name", ["alexnet", "resnet50", "efficientnet_b0", "efficientnet_b2"])
def test_the_crop_of_the_config_is_torchvision_s_own_transform(name) -> None:
    published = models.get_model_weights(name)["IMAGENET1K_V1"].transforms()
    backbone = choose_images(Backbone(name, crop="config"), (10, *published.resize_size), 10)
    expected = published(photograph())
    assert torch.equal(given(backbone, photograph())[0], expected)


@pytest.mark.parametrize("name", [VIT, RESNET, "timm/convnext_atto.d2_in1k"])
def test_the_crop_of_the_config_is_timm_s_own_transform(name) -> None:
    config = resolve_data_config(timm.get_pretrained_cfg(name.removeprefix("timm/")).to_dict())
    size = int(config["input_size"][1] / config["crop_pct"])
    backbone = choose_images(with_pixels(Backbone(name, crop="config")), (10, size), 10)
    expected = create_transform(**config, is_training=False)(photograph())
    torch.testing.assert_close(given(backbone, photograph())[0], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("size", "crop"), [(248, 224), (235, 224), (233, 224), (41, 32), (9, 8)])
def test_the_centre_is_where_torchvision_cuts_it_out(size, crop) -> None:
    from torchvision.transforms.functional import center_crop

    images = torch.arange(2 * 3 * size * size).view(2, 3, size, size) % 251
    network = set_pixels(torch.nn.Identity(), ((0, 0, 0), (1 / 255,) * 3), crop)
    found = normalise(images.to(torch.uint8), network)
    torch.testing.assert_close(found, center_crop(images, [crop, crop]).float())


CHOICES = [
    # backbone, sizes of the data (the rows' first), and the size and crop that it is given
    (Backbone("alexnet"), (224,), (None, None)),
    (Backbone("alexnet"), (64,), (None, None)),
    (Backbone("alexnet"), (64, 224), (224, None)),
    (Backbone("alexnet"), (224, 64), (None, None)),
    (Backbone("alexnet"), (64, 300), (300, None)),
    (Backbone("vit_b_16"), (64, 224, 256), (224, None)),
    (Backbone("vit_b_16", image_size=224), (224,), (None, None)),
    (Backbone("narrow-alexnet", FROM_FILE), (64, 224), (None, None)),
    (Backbone(VIT), (32, 224), (224, None)),
    (Backbone(VIT), (224, 32), (None, None)),
    (Backbone(VIT, image_size=32), (32,), (32, None)),
    (Backbone(VIT, image_size=32), (224, 32), (32, None)),
    (Backbone(DINO), (224, 518), (518, None)),
    (Backbone(DINO, image_size=224), (224, 518), (224, None)),
    (Backbone(RESNET), (96, 192), (192, None)),
    (Backbone("alexnet", crop="config"), (224, 256), (256, 224)),
    (Backbone("alexnet", crop="config"), (256,), (256, 224)),
    (Backbone("resnet50", "IMAGENET1K_V2", crop="config"), (224, 232), (232, 224)),
    (Backbone("narrow-alexnet", FROM_FILE, image_size=40, crop=32), (32, 40), (40, 32)),
]


@pytest.mark.parametrize(("backbone", "stored", "expected"), CHOICES)
def test_a_network_is_given_the_size_that_serves_it(backbone, stored, expected) -> None:
    found = choose_images(backbone, stored, stored[0])
    assert (found.image_size, found.crop) == expected
    assert choose_images(found, stored, stored[0]) == found  # planned again
    if expected == (None, None):
        assert "image_size" not in found.content
        assert "crop" not in found.content
    else:
        assert Backbone(**found.content) == found


REFUSED = [
    (Backbone(DINO), (224,), "takes images of 518 x 518 pixels; the data has 224; ingest again"),
    (Backbone(DINO), (224,), "--image-size 224,518, or write Backbone(…, image_size=224)"),
    (Backbone(VIT), (32, 64), "takes images of 224 x 224 pixels; the data has 32 and 64"),
    (Backbone("vit_b_16"), (64, 128), "takes images of 224 x 224 pixels; the data has 64 and 128"),
    (Backbone("alexnet", image_size=96), (64,), "of 96 x 96 pixels; the data has 64; ingest"),
    (Backbone("alexnet", crop="config"), (224,), "256 pixels, of which it sees the centre of 224"),
    (Backbone("alexnet", crop="config"), (224,), "ingest again with --image-size 224,256"),
    (Backbone("narrow-alexnet", FROM_FILE, crop="config"), (64,), "no crop is published"),
    (Backbone("alexnet", crop=224), (64, 300), "crop=224 of images of 64 x 64"),
]


@pytest.mark.parametrize(("backbone", "stored", "message"), REFUSED)
def test_sizes_that_serve_no_network_are_refused_with_the_cure(backbone, stored, message) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        choose_images(backbone, stored, stored[0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"crop": "centre"}, "crop: expected 'config', or a number of pixels above 0, found 'cent"),
        ({"crop": 0}, "crop: expected 'config'"),
        ({"crop": True}, "crop: expected 'config'"),
        ({"crop": 224, "image_size": 224}, "crop: expected fewer pixels than image_size, 224"),
        ({"crop": "config", "image_size": 224}, "leave image_size out"),
        ({"image_size": 0}, "image_size: expected a value of at least 1"),
    ],
)
def test_sizes_and_crops_that_make_no_sense_are_refused(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        Backbone(**values)


def test_data_of_one_size_needs_no_look_at_a_network_of_torchvision(monkeypatch) -> None:
    monkeypatch.setattr(image_choice, "published_images", None)
    monkeypatch.setattr(image_choice, "takes", None)
    assert choose_images(Backbone("alexnet"), (224,), 224) == Backbone("alexnet")


def test_a_network_is_not_built_where_planning_left_a_crop_open() -> None:
    with pytest.raises(ValueError, match="expected pixels, as planning fills in"):
        _ = Backbone("alexnet", crop="config").crop_size
    with pytest.raises(ValueError, match="expected pixels"):
        build_scaled(Backbone("narrow-alexnet", FROM_FILE, crop="config"))
