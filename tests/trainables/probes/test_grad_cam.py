"""Grad-CAM and lateralisation: against autograd, and on planted networks."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from trainables.models.normalisation import normalise
from trainables.probes.grad_cam import Classifier, lateralisation, saliency_maps


class Tiny(nn.Module):
    """Convolve, pool to 4 x 4, and weigh what is seen by a mask."""

    def __init__(self, mask: torch.Tensor, *, even: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True))
        if even:
            weight = self.features[0].weight.data
            self.features[0].weight.data = (weight + weight.flip(3)) / 2
        self.pool = nn.AvgPool2d(4)
        self.register_buffer("mask", mask)
        self.top = nn.Flatten()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.top(self.pool(self.features(images)) * self.mask)


def classifier(mask, *, even=False):
    """Build a head whose weights are alike at every place of a channel."""
    backbone = Tiny(mask, even=even).eval()
    generator = torch.Generator().manual_seed(1)
    by_channel = torch.randn(3, 6, 1, 1, generator=generator).expand(3, 6, 4, 4)
    return Classifier(
        backbone, "top", by_channel.reshape(3, -1).contiguous(), torch.zeros(3)
    ).eval()


def images(n=24, seed=2):
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return pictures, torch.arange(n) % 3


def everywhere():
    return torch.ones(4, 4)


def left_only():
    mask = torch.zeros(4, 4)
    mask[:, :2] = 1
    return mask


def test_a_map_is_what_autograd_gives():
    model, (pictures, labels) = classifier(everywhere()), images(6)
    found = saliency_maps(model, "features", pictures, labels)
    activations = model.backbone.features(normalise(pictures)).detach().requires_grad_()
    pooled = model.backbone.top(model.backbone.pool(activations) * model.backbone.mask)
    logits = nn.functional.linear(pooled, model.weight, model.bias)
    chosen = logits[torch.arange(6), labels].sum()
    [gradient] = torch.autograd.grad(chosen, activations)
    expected = torch.relu((gradient.mean(dim=(2, 3), keepdim=True) * activations).sum(dim=1))
    torch.testing.assert_close(found, expected.detach(), atol=1e-6, rtol=1e-5)


def test_a_network_that_sees_the_left_alone_is_lateralised_whatever_it_is_shown():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4))
            self.seen = LeftHalf()
            self.top = nn.Flatten()

        def forward(self, pictures):
            return self.top(self.seen(self.features(pictures)))

    class LeftHalf(nn.Module):
        def forward(self, found):
            return found * left_only()

    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(3, 6, 1, 1, generator=generator).expand(3, 6, 4, 4).reshape(3, -1)
    model = Classifier(Masked().eval(), "top", weight.contiguous(), torch.zeros(3)).eval()
    pictures, labels = images()
    for shown in (pictures, pictures.flip(3)):
        index = lateralisation(saliency_maps(model, "seen", shown, labels))
        assert index[~index.isnan()].mean() > 0.99


def test_an_even_network_follows_the_images_and_has_no_side_of_its_own():
    model, (pictures, labels) = classifier(everywhere(), even=True), images()
    plain = lateralisation(saliency_maps(model, "features", pictures, labels))
    mirrored = lateralisation(saliency_maps(model, "features", pictures.flip(3), labels))
    has_mass = ~plain.isnan()
    assert has_mass.sum() > 10
    torch.testing.assert_close(plain[has_mass], -mirrored[has_mass], atol=1e-5, rtol=0)
    assert plain[has_mass].abs().max() > 0.01


@pytest.mark.parametrize(
    ("columns", "expected"),
    [([1, 1, 0, 0], 1), ([0, 0, 1, 3], -1), ([1, 0, 0, 1], 0), ([1, 5, 0], 1 / 6), ([3, 1], 0.5)],
)
def test_the_index_is_the_left_minus_the_right_share(columns, expected):
    maps = torch.tensor([[columns, columns]], dtype=torch.float32)
    assert lateralisation(maps).item() == pytest.approx(expected)


def test_a_map_without_mass_has_no_index():
    assert np.isnan(lateralisation(torch.zeros(1, 3, 4)).item())


def test_in_place_activations_are_left_as_they_were():
    model, (pictures, labels) = classifier(everywhere()), images(3)
    saliency_maps(model, "features", pictures, labels)
    assert model.backbone.features[1].inplace


def test_a_layer_without_left_and_right_is_refused() -> None:
    backbone = nn.Sequential(
        OrderedDict(seen=nn.Conv2d(3, 4, 16), flat=nn.Flatten(), out=nn.Linear(4, 3))
    )
    model = Classifier(backbone, "out", torch.eye(3), torch.zeros(3)).eval()
    pictures = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(ValueError, match="seen has a single column on images of 16 pixels"):
        saliency_maps(model, "seen", pictures, torch.tensor([0, 1]))
