"""Variance partitioning: planted shares recovered, nothing where nothing is, exact arithmetic."""

import numpy as np
import pytest
import torch
from himalaya.scoring import correlation_score, r2_score

from orchestrator.scores.statistics.image_jackknife import MeasuredResponses
from trainables.compute.numerics import Numerics
from trainables.encoding.bands import NetworkBands, network_bands
from trainables.encoding.features import FeatureStore
from trainables.encoding.variance import MODELS, Task, explain, partition

N_TRAIN, N_TEST, N_VERTICES = 500, 300, 40
ALPHAS = tuple(10.0**k for k in range(-1, 5))
ROWS = np.arange(N_TRAIN), np.arange(N_TRAIN, N_TRAIN + N_TEST)


def planted(unique, shared, noise, seed=0, n_dimensions=6):
    """Two networks with a common part each, and responses of its and of the networks' own parts.

    unique: variances of what only the untuned and only the tuned network have.
    """
    generator = np.random.default_rng(seed)
    common, own_untuned, own_tuned = generator.normal(size=(3, N_TRAIN + N_TEST, n_dimensions))
    parts = ((own_untuned, unique[0]), (own_tuned, unique[1]), (common, shared))
    Y = noise**0.5 * generator.normal(size=(N_TRAIN + N_TEST, N_VERTICES))
    for part, variance in parts:
        weights = generator.normal(size=(n_dimensions, N_VERTICES))
        Y += part @ (weights * (variance**0.5 / np.linalg.norm(weights, axis=0)))
    networks = [bands(np.concatenate([common, own], axis=1)) for own in (own_untuned, own_tuned)]
    return torch.from_numpy(Y), networks


def bands(X):
    """Make a network of two layers, each with all its features, through the features' Gram."""
    generator = np.random.default_rng(7)
    layers = {
        name: torch.from_numpy(X @ generator.normal(size=(X.shape[1], 30))).float()
        for name in ("first", "last")
    }
    store = FeatureStore(layers)
    return network_bands(store, tuple(layers), torch.arange(N_TRAIN), 24, Numerics(True))


def means(Y, networks):
    found = partition(Task(Y, *ROWS, 5, ALPHAS), *networks)
    r2 = {name: float(one.r2.mean()) for name, one in found.items()}
    return r2, {
        "unique_tuned": r2["joint"] - r2["untuned"],
        "unique_untuned": r2["joint"] - r2["tuned"],
        "shared": r2["untuned"] + r2["tuned"] - r2["joint"],
    }


def test_planted_unique_and_shared_variance_is_recovered() -> None:
    r2, found = means(*planted(unique=(0.1, 0.25), shared=0.35, noise=0.3))
    assert found["unique_tuned"] == pytest.approx(0.25, abs=0.03)
    assert found["unique_untuned"] == pytest.approx(0.1, abs=0.03)
    assert found["shared"] == pytest.approx(0.35, abs=0.03)
    assert r2["joint"] == pytest.approx(0.7, abs=0.03)
    for name in ("untuned", "tuned"):
        assert r2[f"{name}_banded"] == pytest.approx(r2[name], abs=0.03)


def test_tuned_features_that_hold_nothing_new_have_no_unique_variance() -> None:
    _, found = means(*planted(unique=(0.3, 0.0), shared=0.4, noise=0.3))
    assert found["unique_tuned"] == pytest.approx(0, abs=0.01)
    assert found["unique_untuned"] == pytest.approx(0.3, abs=0.04)


def test_permuted_responses_have_no_variance_of_any_kind() -> None:
    Y, networks = planted(unique=(0.1, 0.25), shared=0.35, noise=0.3)
    shuffled = Y[torch.from_numpy(np.random.default_rng(1).permutation(len(Y)))]
    r2, found = means(shuffled, networks)
    assert all(abs(value) < 0.02 for value in (*r2.values(), *found.values()))


def test_the_test_images_choose_nothing() -> None:
    Y, networks = planted(unique=(0.1, 0.25), shared=0.35, noise=0.3)
    task, other = Task(Y, *ROWS, 5, ALPHAS), Y.clone()
    other[N_TRAIN:] = 0
    both = (networks[0].concatenated, networks[1].concatenated)
    gammas = ((0.5, 0.5), (1.0, 0.0), (0.0, 1.0))
    changed = Task(other, *ROWS, 5, ALPHAS)
    assert torch.equal(task.predict(both, gammas), changed.predict(both, gammas))


@pytest.fixture
def explained():
    generator = np.random.default_rng(5)
    measured = generator.normal(size=(200, 12))
    measured[:, 11] = 3.0  # constant
    predicted = {
        name: 0.5 * measured + share * generator.normal(size=measured.shape) + 0.1
        for name, share in zip(MODELS, (0.3, 0.5, 0.8, 1.2, 2.0), strict=True)
    }
    found = explain(
        torch.from_numpy(measured), {k: torch.from_numpy(v) for k, v in predicted.items()}
    )
    return measured, predicted, found


def test_r_and_r2_are_himalayas(explained) -> None:
    measured, predicted, found = explained
    for name, one in found.items():
        inside = np.s_[:, :11]
        expected = r2_score(measured[inside], predicted[name][inside])
        np.testing.assert_allclose(one.r2[:11], expected, atol=1e-10)
        r = correlation_score(measured[inside], predicted[name][inside])
        np.testing.assert_allclose(one.r[:11], r, atol=1e-10)
        assert one.r2[11].isnan()
        assert one.r[11].isnan()


def test_the_effects_of_images_are_those_of_leaving_each_out(explained) -> None:
    measured, predicted, found = explained
    vertices = np.arange(12) < 11
    for name, one in found.items():
        _, exact = MeasuredResponses(measured).mean_r(predicted[name], vertices)
        assert_alike(one.r_effects.numpy(), exact)
        keep = ~np.eye(200, dtype=bool)
        without = np.array(
            [r2_score(measured[k][:, :11], predicted[name][k][:, :11]).mean() for k in keep]
        )
        exact = (without.mean() - without) * (199 / 200) ** 0.5
        assert_alike(one.r2_effects.numpy(), exact)


def assert_alike(effects, exact) -> None:
    """Check that linear effects are those of leaving images out but for terms of 1/n."""
    assert np.corrcoef(effects, exact)[0, 1] > 0.998
    assert np.square(effects).sum() == pytest.approx(np.square(exact).sum(), rel=0.04)


def test_bands_have_a_variance_of_one_and_the_components_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    generator = np.random.default_rng(2)
    X = {
        name: 10.0**k * generator.normal(size=(60, 15)) + 3
        for k, name in enumerate(("first", "last"))
    }
    fitted = torch.arange(40)
    store = FeatureStore({name: torch.from_numpy(one).float() for name, one in X.items()})
    found = network_bands(store, tuple(X), fitted, 8, Numerics(True))
    scaled = [
        (one - one[:40].mean(axis=0)) / np.sqrt(one[:40].var(axis=0).sum())
        for one in (values.astype(np.float32).astype(np.float64) for values in X.values())
    ]
    wanted = [*((one, 4) for one in scaled), (np.concatenate(scaled, axis=1), 8)]
    for band, (values, k) in zip((*found.layers, found.concatenated), wanted, strict=True):
        assert band.shape == (60, k)
        assert float(band[:40].square().sum(dim=1).mean()) == pytest.approx(1)
        expected = PCA(k, svd_solver="full").fit(values[:40]).transform(values)
        expected /= np.sqrt(np.square(expected[:40]).sum(axis=1).mean())
        np.testing.assert_allclose(np.abs(band.numpy()), np.abs(expected), atol=1e-6)


def test_a_network_of_constant_layers_explains_nothing() -> None:
    dead = FeatureStore({name: torch.ones(N_TRAIN + N_TEST, 30) for name in ("first", "last")})
    nothing = network_bands(dead, ("first", "last"), torch.arange(N_TRAIN), 24, Numerics(True))
    assert isinstance(nothing, NetworkBands)
    Y, networks = planted(unique=(0.1, 0.25), shared=0.35, noise=0.3)
    r2, _ = means(Y, (networks[0], nothing))
    assert r2["tuned"] == pytest.approx(0, abs=0.03)
    assert r2["joint"] == pytest.approx(r2["untuned"], abs=1e-3)
