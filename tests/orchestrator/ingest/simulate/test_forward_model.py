"""The planted responses: signal, noise, and the noise ceilings."""

import numpy as np
import pytest

from orchestrator.ingest.simulate.cortex import build_cortex
from orchestrator.ingest.simulate.forward_model import respond
from orchestrator.ingest.simulate.local_features import measure_features
from orchestrator.ingest.simulate.scenes import compose, render


@pytest.fixture(scope="module")
def world():
    scenes = [compose(0, k) for k in range(250)]
    return scenes, measure_features([render(scene, 64) for scene in scenes])


@pytest.fixture(scope="module")
def planted(world):
    scenes, features = world
    cortex = build_cortex(0, 1, "lh")
    return cortex, respond(cortex, "lh", scenes, features, (0.6, 0.8), (0, 1))


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
    scenes, features = world
    noise = []
    for hemisphere in ("lh", "rh"):
        cortex = build_cortex(0, 1, hemisphere)
        responses = respond(cortex, hemisphere, scenes, features, (0.0, 0.0), (0, 1))
        noise.append(responses.measured[:, :100])
    assert abs(np.mean(noise[0] * noise[1])) < 0.02
