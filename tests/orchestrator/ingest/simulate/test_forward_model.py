"""The planted responses: the energy model, its retinotopy, and the noise ceilings."""

import numpy as np
import pytest

from orchestrator.ingest.simulate.cortex import build_cortex
from orchestrator.ingest.simulate.forward_model import (
    FREQUENCIES,
    ORIENTATIONS,
    describe,
    draw_receptive_fields,
    early_signals,
    higher_signals,
    measure_energy,
    respond,
)
from orchestrator.ingest.simulate.scenes import CLASSES, compose, render


def grating(cycles, orientation, size=64):
    """A sinusoidal grating whose contrast varies along orientation (radians, upwards)."""
    right, up = np.meshgrid(np.arange(size) / size, -np.arange(size) / size)
    wave = np.sin(2 * np.pi * cycles * (np.cos(orientation) * right + np.sin(orientation) * up))
    return np.repeat(np.rint(127.5 + 100 * wave)[..., None], 3, axis=2).astype(np.uint8)


def patch(x, y, size=64):
    """Noise around one place (-1 to 1) on grey."""
    right, up = np.meshgrid(np.linspace(-1, 1, size), np.linspace(1, -1, size))
    near = np.exp(-((right - x) ** 2 + (up - y) ** 2) / (2 * 0.15**2))
    noise = np.random.default_rng(0).standard_normal((size, size))
    grey = np.clip(128 + 60 * near * noise, 0, 255)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def fields(roi, hemisphere, n_vertices=200):
    return draw_receptive_fields(roi, hemisphere, n_vertices, np.random.default_rng(1))


@pytest.fixture(scope="module")
def world():
    scenes = [compose(0, k) for k in range(250)]
    return scenes, measure_energy([render(scene, 64) for scene in scenes])


@pytest.fixture(scope="module")
def planted(world):
    scenes, energy = world
    cortex = build_cortex(0, 1, "lh")
    return cortex, respond(cortex, "lh", scenes, energy, (0.6, 0.8), (0, 1))


@pytest.mark.parametrize("cycles", FREQUENCIES)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_grating_excites_most_the_filter_of_its_frequency_and_orientation(cycles, place):
    energy = measure_energy([grating(cycles, ORIENTATIONS[place])])[0].mean(axis=1)
    assert np.argmax(energy) == FREQUENCIES.index(cycles) * len(ORIENTATIONS) + place


def test_a_uniform_image_has_no_energy():
    assert measure_energy([np.full((64, 64, 3), 90, np.uint8)]).max() < 1e-9


def test_energy_does_not_depend_on_the_size_an_image_is_stored_at():
    small, large = measure_energy([grating(8, 0.5, 64)]), measure_energy([grating(8, 0.5, 256)])
    assert np.corrcoef(small.mean(axis=2), large.mean(axis=2))[0, 1] > 0.99


def test_energy_lies_where_the_contrast_is():
    energy = measure_energy([patch(0.5, 0.5)])[0].sum(axis=0).reshape(32, 32)
    assert energy[:16, 16:].sum() > 0.9 * energy.sum()


@pytest.mark.parametrize("roi", ["V1v", "V2d", "V3v", "hV4"])
def test_early_receptive_fields_are_contralateral(roi):
    assert np.all(fields(roi, "lh").centre[:, 0] >= 0)
    assert np.all(fields(roi, "rh").centre[:, 0] <= 0)


def test_ventral_parts_see_the_upper_field_dorsal_the_lower_and_hv4_both():
    assert np.all(fields("V2v", "lh").centre[:, 1] >= 0)
    assert np.all(fields("V2d", "lh").centre[:, 1] <= 0)
    assert np.ptp(np.sign(fields("hV4", "lh").centre[:, 1])) == 2


def test_receptive_fields_grow_from_v1_to_hv4_and_with_eccentricity():
    widths = [fields(roi, "lh").width.mean() for roi in ("V1v", "V2v", "V3v", "hV4")]
    assert widths == sorted(widths)
    drawn = fields("V1v", "lh")
    assert np.corrcoef(np.hypot(*drawn.centre.T), drawn.width)[0, 1] > 0.99


def test_a_left_hemisphere_vertex_follows_the_right_visual_field_only():
    energy = measure_energy([patch(-0.5, 0.5), patch(0.5, 0.5), np.full((64, 64, 3), 128, "u1")])
    signal = early_signals(energy, fields("V1v", "lh"))
    left, right = np.mean(abs(signal[:2] - signal[2]), axis=1)
    assert right > 3 * left


def test_category_rois_respond_more_to_their_own_outline(world):
    scenes, _ = world
    signal = higher_signals(scenes, "FFA-1", 40, np.random.default_rng(0)).mean(axis=1)
    is_round = np.array([CLASSES[s.main.label].startswith("round") for s in scenes])
    assert signal[is_round].mean() > signal[~is_round].mean() + signal.std() / 2


def test_descriptions_have_mean_0_and_variance_1(world):
    for values in describe(world[0]):
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(values.std(axis=0), 1)


def test_noise_ceilings_are_the_correlation_of_signal_and_response(planted):
    _, responses = planted
    alive = responses.noise_ceiling > 0
    signal, measured = responses.signal[:, alive], responses.measured[:, alive]
    r = np.mean(signal * (measured - measured.mean(axis=0)) / measured.std(axis=0), axis=0)
    difference = r - responses.noise_ceiling[alive]
    assert abs(difference.mean()) < 0.005
    assert abs(difference).max() < 0.2


def test_vertices_outside_every_roi_only_have_noise(planted):
    cortex, responses = planted
    without = np.array([home is None for home in cortex.home])
    assert without.sum() > 20
    np.testing.assert_array_equal(responses.noise_ceiling == 0, without)
    assert not responses.signal[:, without].any()


def test_responses_have_about_unit_variance(planted):
    np.testing.assert_allclose(planted[1].measured.std(axis=0), 1, atol=0.25)
    assert planted[1].measured.dtype == np.float32


def test_vertices_of_an_roi_differ_from_each_other(planted):
    cortex, responses = planted
    r = np.corrcoef(responses.signal[:, cortex.homes("V1v")].T)
    assert np.median(abs(r[np.triu_indices_from(r, 1)])) < 0.6


def test_hemispheres_do_not_share_their_noise(world):
    scenes, energy = world
    noise = []
    for hemisphere in ("lh", "rh"):
        cortex = build_cortex(0, 1, hemisphere)
        responses = respond(cortex, hemisphere, scenes, energy, (0.0, 0.0), (0, 1))
        noise.append(responses.measured[:, :100])
    assert abs(np.mean(noise[0] * noise[1])) < 0.02
