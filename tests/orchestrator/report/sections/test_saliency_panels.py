"""Panels of saliency: which backbones are drawn, and what each panel shows."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from orchestrator.report.sections import saliency_panels
from orchestrator.report.sections.saliency_panels import (
    OPACITY,
    choose_backbones,
    draw_examples,
    draw_mean_maps,
    relative,
    upsample,
)

PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def png(picture):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    return stream.getvalue()


def example(seed, *, image=None):
    generator = np.random.default_rng(seed)
    found = {"class_name": "cat", "image": image}
    for ending, p in (("", 0.25), ("_mirrored", 0.75)):
        found[f"map{ending}"] = generator.random((3, 3)).tolist()
        found[f"probability{ending}"] = p + seed / 100
        found[f"predicted{ending}"] = "cat" if p > 0.5 else "dog"
    return found


def rows():
    places = [
        ("contrastive", "lh", "hV4", "subj01"),
        ("contrastive", "rh", "hV4", "subj01"),
        ("contrastive", "lh", "V1v", "subj01"),  # has no right hemisphere
        ("regression", "lh", "V1v", "subj01"),
        ("regression", "rh", "V1v", "subj01"),
        ("untuned", None, None, None),
    ]
    frame = pd.DataFrame(places, columns=["method", "hemisphere", "roi", "subject"])
    images = [png(PICTURE) if one[0] == "untuned" else None for one in places]
    examples = [[example(seed, image=image)] for seed, image in enumerate(images)]
    return frame.assign(examples=examples, backbone=[str(k) for k in range(6)])


def test_both_hemispheres_of_an_roi_stand_beside_the_untuned_backbone():
    shown = choose_backbones(rows())
    names = ["lh hV4 of subj01 (contrastive)", "rh hV4 of subj01 (contrastive)", "untuned"]
    assert [one.name for one in shown] == names
    left = rows()[lambda frame: frame["hemisphere"] != "rh"]
    assert [one.title for one in choose_backbones(left)] == ["lh V1v", "untuned"]
    assert [one.title for one in choose_backbones(rows()[-1:])] == ["untuned"]


@pytest.fixture
def panels(monkeypatch):
    """Draw the examples; return the panels, left to right."""
    drawn: list[Figure] = []
    monkeypatch.setattr(saliency_panels, "as_svg", lambda figure: drawn.append(figure) or "")
    draw_examples(choose_backbones(rows()))
    *found, bar = drawn[0].axes
    assert bar.get_xlabel() == "Grad-CAM (1: evenly spread)"
    return found


def test_the_mirrored_side_shows_the_mirrored_image_and_its_probabilities(panels):
    titles = [axes.get_title() for axes in panels]
    side = ["lh hV4", "rh hV4", "untuned"]
    assert titles == ["image", *side, "mirrored", *side]
    pixels = [np.asarray(axes.images[0].get_array(), dtype=float) for axes in panels]
    np.testing.assert_allclose(pixels[0], PICTURE / 255)
    np.testing.assert_allclose(pixels[4], PICTURE[:, ::-1] / 255)
    labels = [axes.get_xlabel() for axes in panels]
    assert labels[:4] == ["cat", "p = 0.25\n→ dog", "p = 0.26\n→ dog", "p = 0.30\n→ dog"]
    assert labels[4:] == ["cat", "p = 0.75", "p = 0.76", "p = 0.80"]


def test_a_panel_is_its_map_over_the_grey_image(panels):
    grey = PICTURE.mean(axis=2, keepdims=True) / 255
    values = relative(np.array(example(0)["map"]))
    every = [
        relative(np.array(example(k)[f"map{e}"])) for k in (0, 1, 5) for e in ("", "_mirrored")
    ]
    top = max(1.0, np.quantile(every, 0.95))
    smooth = np.clip(upsample(values, PICTURE) / top, 0, 1)
    colours = saliency_panels.mpl.colormaps["viridis"](smooth)[..., :3]
    found = np.asarray(panels[1].images[0].get_array(), dtype=float)
    np.testing.assert_allclose(found, OPACITY * colours + (1 - OPACITY) * grey, atol=1e-6)


def test_maps_are_upsampled_smoothly_and_never_negative():
    peak = np.zeros((3, 3))
    peak[1, 1] = 9.0
    large = upsample(peak)
    assert large.shape == (96, 96)
    assert large.min() >= 0
    assert np.abs(np.diff(large, axis=1)).max() < 0.05 * large.max()  # no step of a 3 x 3 grid
    assert np.unravel_index(large.argmax(), large.shape) in [(47, 47), (47, 48), (48, 47), (48, 48)]
    np.testing.assert_allclose(upsample(np.ones((3, 3))), 1, atol=1e-6)


def test_an_even_map_is_1_whatever_its_mass():
    np.testing.assert_allclose(relative(np.full((3, 3), 7.0)), 1)
    np.testing.assert_allclose(relative(np.zeros((3, 3))), 0)
    assert "Grad-CAM (1: evenly spread)" in draw_mean_maps({"untuned": np.ones((3, 3))})


def test_without_their_images_maps_are_drawn_alone():
    frame = rows()[:1]
    svg = draw_examples(choose_backbones(frame))
    assert "not kept" in svg
