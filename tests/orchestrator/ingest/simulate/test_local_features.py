"""Local features: energy, edges of textures, and their curves, of images made for each."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from orchestrator.ingest.simulate.local_features import (
    EDGE_FREQUENCY,
    FREQUENCIES,
    ORIENTATIONS,
    LocalFeatures,
    measure_energy,
    measure_features,
)
from orchestrator.ingest.simulate.scenes import compose, render
from tests.builders.pictures import grating, patch, ring, textured

N_SCENES = 400


@pytest.fixture(scope="module")
def of_scenes() -> LocalFeatures:
    return measure_features([render(compose(0, k), 64) for k in range(N_SCENES)])


@pytest.mark.parametrize("cycles", FREQUENCIES)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_grating_excites_most_the_filter_of_its_frequency_and_orientation(
    cycles: float, place: int
) -> None:
    energy = measure_energy([grating(cycles, ORIENTATIONS[place])])[0].mean(axis=1)
    assert np.argmax(energy) == FREQUENCIES.index(cycles) * len(ORIENTATIONS) + place


def test_a_uniform_image_has_no_feature() -> None:
    features = measure_features([np.full((64, 64, 3), 90, np.uint8)])
    assert max(features.energy.max(), features.texture.max(), features.curves.max()) < 1e-9


def test_energy_does_not_depend_on_the_size_an_image_is_stored_at() -> None:
    small, large = measure_energy([grating(8, 0.5, 64)]), measure_energy([grating(8, 0.5, 256)])
    assert np.corrcoef(small.mean(axis=2), large.mean(axis=2))[0, 1] > 0.99


def test_features_lie_where_the_contrast_is() -> None:
    features = measure_features([patch(0.5, 0.5)])
    for values, grid in ((features.energy, 32), (features.texture, 16)):
        maps = values[0].sum(axis=0).reshape(grid, grid)
        assert maps[: grid // 2, grid // 2 :].sum() > 0.6 * maps.sum()


@pytest.mark.parametrize("carrier", [0, 2, 4])
@pytest.mark.parametrize("edge", [1, 4])
def test_texture_edges_have_the_orientation_of_the_edge_whatever_the_texture(
    carrier: int, edge: int
) -> None:
    image = textured(FREQUENCIES[-1], ORIENTATIONS[carrier], EDGE_FREQUENCY, ORIENTATIONS[edge])
    texture = measure_features([image]).texture[0].mean(axis=1).reshape(-1, len(ORIENTATIONS))
    assert np.argmax(texture[-1]) == edge


def test_a_texture_without_edges_has_a_hundredth_of_their_energy() -> None:
    edged = textured(FREQUENCIES[-1], 0.0, EDGE_FREQUENCY, 0.0)
    plain = grating(FREQUENCIES[-1], 0.0)
    texture = measure_features([edged, plain]).texture.mean(axis=(1, 2))
    assert texture[1] < 0.01 * texture[0]


def test_a_round_edge_has_more_curves_than_a_straight_one() -> None:
    round_, straight = ring(16, 0.5), textured(16, 0.0, EDGE_FREQUENCY, 0.0)
    features = measure_features([round_, straight])
    squared = (features.texture**2).sum(axis=(1, 2))
    share = features.curves.sum(axis=(1, 2)) / squared
    assert share[0] > 1.5 * share[1]


def test_energy_predicts_texture_edges_less_than_itself_and_their_curves_least(
    of_scenes: LocalFeatures,
) -> None:
    energy = of_scenes.energy.reshape(N_SCENES, -1, 8, 4, 8, 4).mean(axis=(3, 5))
    inputs = np.log1p(energy.reshape(N_SCENES, -1) / 1e-4)
    held_out = np.arange(N_SCENES) % 5 == 0
    r = {}
    for name in ("energy", "texture", "curves"):
        values = getattr(of_scenes, name)
        targets = np.log1p(30 * values.mean(axis=2) / values.mean())
        model = RidgeCV(10.0 ** np.arange(0, 6)).fit(inputs[~held_out], targets[~held_out])
        found = model.predict(inputs[held_out])
        pairs = zip(found.T, targets[held_out].T, strict=True)
        r[name] = np.mean([np.corrcoef(one, other)[0, 1] for one, other in pairs])
    assert r["energy"] > r["texture"] + 0.05, r
    assert r["texture"] > r["curves"] + 0.05, r
