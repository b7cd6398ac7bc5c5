"""The procedural images: reproducible, varied, with the spectrum of photographs."""

import numpy as np
import pytest

from orchestrator.ingest.simulate.scenes import CLASSES, compose, render


@pytest.fixture(scope="module")
def images():
    return [render(compose(0, stimulus), 64) for stimulus in range(120)]


def test_a_stimulus_always_has_the_same_pixels():
    first, second = (render(compose(3, 17), 48) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_another_seed_or_stimulus_is_another_image():
    image = render(compose(3, 17), 48)
    assert np.any(image != render(compose(4, 17), 48))
    assert np.any(image != render(compose(3, 18), 48))


def test_images_are_bytes_of_the_size_asked_for():
    image = render(compose(0, 1), 50)
    assert image.shape == (50, 50, 3)
    assert image.dtype == np.uint8


def test_every_class_is_about_as_frequent():
    counts = np.bincount([compose(0, k).main.label for k in range(800)], minlength=len(CLASSES))
    assert len(counts) == len(CLASSES)
    assert counts.min() > 60


def test_some_objects_are_hidden_in_part_and_some_stand_alone():
    scenes = [compose(0, k) for k in range(100)]
    assert any(scene.before for scene in scenes)
    assert any(len(scene.things) == 1 for scene in scenes)


def test_amplitude_falls_with_frequency_as_in_photographs(images):
    grey = np.stack(images).mean(axis=3)
    window = np.hanning(64)[:, None] * np.hanning(64)
    amplitude = abs(np.fft.fft2((grey - grey.mean(axis=(1, 2), keepdims=True)) * window))
    frequency = np.hypot(*np.meshgrid(*2 * [64 * np.fft.fftfreq(64)]))
    bands = [(frequency >= low) & (frequency < 2 * low) for low in (2, 4, 8, 16)]
    levels = np.log2([amplitude[:, band].mean() for band in bands])
    slope = np.polyfit(range(4), levels, 1)[0]
    assert -1.8 < slope < -0.6


def test_images_are_neither_black_nor_white(images):
    assert 60 < np.mean(images) < 190
    assert np.mean(np.isin(images, (0, 255))) < 0.05
    assert np.std([image.mean() for image in images]) > 10
