"""Views of images: what they show, that they are repeatable, and alike however work is shared."""

import colorsys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.builders.tiny_finetuning import CONTRASTIVE
from trainables.compute.numerics import FAST
from trainables.compute.precision import torch_set_for_training
from trainables.spec import SelfSupervised
from trainables.training import views
from trainables.training.batches import Batch
from trainables.training.distributed import SINGLE_PROCESS
from trainables.training.views import N_DRAWS, training_images, two_views

PLAIN = SelfSupervised(smallest_crop=1.0, colour_strength=0.0)
KEPT = torch.full((4, 2, N_DRAWS), 0.5)
"""Draws of views that are as the images: of the whole square, not mirrored, with their colours."""


def images(n: int = 4, size: int = 8, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)


def changed(column: int, value: float) -> Tensor:
    draws = KEPT.clone()
    draws[..., column] = value
    return draws


def test_a_view_of_the_whole_image_is_the_image_and_the_two_of_one_are_together() -> None:
    seen = two_views(images(), KEPT, PLAIN)
    torch.testing.assert_close(seen[::2], images().float(), atol=1e-2, rtol=0)
    torch.testing.assert_close(seen[1::2], images().float(), atol=1e-2, rtol=0)


def test_views_are_made_in_full_float32_within_a_training(monkeypatch) -> None:
    seen: list[str] = []

    def watch(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def watched(*args: Any) -> Tensor:
            seen.append(torch.backends.cuda.matmul.fp32_precision)
            return make(*args)

        return watched

    for name in ("_crop", "_recolour"):
        monkeypatch.setattr(views, name, watch(getattr(views, name)))
    with torch_set_for_training(FAST):
        two_views(images(), KEPT, PLAIN)
    assert seen == ["ieee", "ieee"]


def test_a_mirrored_view_is_the_mirror_image() -> None:
    seen = two_views(images(), changed(4, 0.2), PLAIN)
    torch.testing.assert_close(seen[::2], images().flip(-1).float(), atol=1e-2, rtol=0)


def test_a_crop_of_a_quarter_shows_a_corner_enlarged() -> None:
    ramp = torch.arange(0, 256, 8, dtype=torch.uint8).expand(1, 3, 32, 32)
    draws = torch.full((1, 2, N_DRAWS), 0.5)
    draws[..., 0], draws[..., 2:4] = 0.0, 0.0
    seen = two_views(ramp, draws, replace(PLAIN, smallest_crop=0.25))
    places = (torch.arange(32) + 0.5) / 2 - 0.5
    torch.testing.assert_close(seen[0, 0, 5], 8 * places.clamp(min=0), atol=1e-2, rtol=0)


def test_a_view_without_colour_is_grey_at_its_luma() -> None:
    seen = two_views(images(), changed(10, 0.1), PLAIN)
    luma = torch.einsum("c,nchw->nhw", torch.tensor([0.299, 0.587, 0.114]), images().float())
    for channel in range(3):
        torch.testing.assert_close(seen[::2, channel], luma, atol=0.5, rtol=0)


def test_a_turn_of_hue_keeps_the_grey_value_and_goes_round_the_colour_circle() -> None:
    red = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    red[:, 0], red[:, 1:] = 150, 100
    draws = torch.full((1, 2, N_DRAWS), 0.5)
    draws[0, 0, 9], draws[0, 1, 9] = 1.0, 0.0
    seen = two_views(red, draws, replace(PLAIN, colour_strength=1.0))[..., 0, 0]
    luma = seen @ torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(luma, torch.full((2,), 0.299 * 150 + 70.1), atol=0.2, rtol=0)
    hues = [colorsys.rgb_to_hsv(*(one / 255).tolist())[0] for one in seen]
    assert all(min(abs(hue), abs(1 - hue)) == pytest.approx(0.2, abs=0.06) for hue in hues)
    assert abs(hues[0] - hues[1]) > 0.3


def test_views_are_within_the_range_of_images_and_differ() -> None:
    torch.manual_seed(0)
    seen = two_views(images(16), torch.rand(16, 2, N_DRAWS), SelfSupervised())
    assert seen.shape == (32, 3, 8, 8)
    assert float(seen.min()) >= 0
    assert float(seen.max()) <= 255
    assert all(float((a - b).abs().mean()) > 5 for a, b in zip(seen[::2], seen[1::2], strict=True))


def test_views_are_drawn_alike_from_the_same_seed_and_by_each_of_several_processes() -> None:
    batch = Batch(0, images(10), torch.zeros(10, 1), 10)

    def drawn(share: slice, seed: int = 3) -> tuple[Tensor, Tensor]:
        group = SimpleNamespace(share=lambda n: share)
        torch.manual_seed(seed)
        own = replace(batch, images=batch.images[share])
        return training_images(SelfSupervised(), own, group), torch.rand(1)

    torch.manual_seed(3)
    whole = training_images(SelfSupervised(), batch, SINGLE_PROCESS)
    torch.testing.assert_close(drawn(slice(0, 10))[0], whole, rtol=0, atol=0)
    parts = [drawn(slice(0, 7)), drawn(slice(7, 10))]
    torch.testing.assert_close(torch.cat([part for part, _ in parts]), whole)
    assert len({float(next_draw) for _, next_draw in parts}) == 1
    assert not torch.equal(drawn(slice(0, 10), seed=4)[0], whole)


def test_the_images_of_other_objectives_are_the_batch_s_and_nothing_is_drawn() -> None:
    batch = Batch(0, images(), torch.zeros(4, 1), 4)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert training_images(CONTRASTIVE, batch, SINGLE_PROCESS) is batch.images
    assert torch.equal(torch.rand(1), expected)


def test_crops_have_the_areas_and_ratios_that_are_drawn_from() -> None:
    # An image whose red and green are its coordinates: a crop's spread tells its sides.
    size, n = 64, 200
    across = torch.linspace(0, 255, size).to(torch.uint8).expand(size, size)
    one = torch.stack([across, across.T, torch.zeros_like(across)])
    torch.manual_seed(0)
    draws = torch.rand(n, 2, N_DRAWS)
    draws[..., 5:] = 0.5
    seen = two_views(one.expand(n, -1, -1, -1), draws, replace(PLAIN, smallest_crop=0.2))
    spread = [(seen[:, c].amax((1, 2)) - seen[:, c].amin((1, 2))).numpy() / 255 for c in (0, 1)]
    area, ratio = spread[0] * spread[1], spread[0] / spread[1]
    assert 0.15 < area.min() < 0.3
    assert area.max() > 0.9
    assert 0.7 < ratio.min() < 0.8 < 1.25 < ratio.max() < 1.4
    assert np.median(area) == pytest.approx(0.6, abs=0.08)
