"""Banded ridge against himalaya, the field's own solvers, and what is never looked at."""

import numpy as np
import pytest
import torch
from himalaya.kernel_ridge import (
    predict_weighted_kernel_ridge,
    solve_multiple_kernel_ridge_random_search,
)
from sklearn.model_selection import PredefinedSplit

from trainables.encoding.banded_ridge import (
    TWO_BANDS,
    Penalties,
    candidates_for,
    choose_penalties,
    predict,
)
from trainables.encoding.protocols import contiguous_folds

ALPHAS = (0.1, 1.0, 10.0, 100.0)
N_TRAIN, N_TEST, N_FOLDS = 60, 20, 3


@pytest.fixture
def problem():
    """Two bands of which the vertices need one, the other, both or none."""
    generator = np.random.default_rng(3)
    bands = [generator.normal(size=(N_TRAIN + N_TEST, 8)) for _ in range(2)]
    signals = [band @ generator.normal(size=(8, 8)) for band in bands]
    weights = np.array([[1, 0], [0, 1], [1, 1], [0, 0]]).repeat(2, axis=0).T
    Y = sum(weight * signal for weight, signal in zip(weights, signals, strict=True))
    return [*map(torch.from_numpy, bands)], torch.from_numpy(
        Y + 0.5 * generator.normal(size=Y.shape) + 5.0
    )


def folds():
    return list(contiguous_folds(np.arange(N_TRAIN), N_FOLDS))


@pytest.mark.parametrize("n_features", [8, 100])  # fewer than images, and more
@pytest.mark.parametrize("gammas", [TWO_BANDS, candidates_for(2)])
def test_penalties_and_predictions_are_those_of_himalaya(problem, gammas, n_features) -> None:
    bands, Y = problem
    generator = np.random.default_rng(4)
    wide = [
        torch.cat([band, 0.3 * torch.from_numpy(generator.normal(size=(80, n_features - 8)))], 1)
        for band in bands
    ]
    train, test = torch.arange(N_TRAIN), torch.arange(N_TRAIN, N_TRAIN + N_TEST)
    chosen = choose_penalties(wide, Y, folds(), gammas, ALPHAS)
    found = predict(wide, Y, (train, test), chosen)

    kernels = np.stack([(band @ band.T).numpy() for band in wide])
    mean = Y[train].mean(dim=0).numpy()
    deltas, weights, _, alphas, intercept = solve_multiple_kernel_ridge_random_search(
        kernels[:, :N_TRAIN, :N_TRAIN],
        Y[train].numpy(),
        n_iter=np.array(gammas),
        alphas=np.array(ALPHAS),
        cv=PredefinedSplit(np.arange(N_TRAIN) // (N_TRAIN // N_FOLDS)),
        return_weights="dual",
        return_alphas=True,
        fit_intercept=True,
        progress_bar=False,
    )
    np.testing.assert_allclose(np.array(ALPHAS)[chosen.alpha], alphas)
    expected = predict_weighted_kernel_ridge(
        kernels[:, N_TRAIN:, :N_TRAIN], weights, deltas, intercept=intercept
    )
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected - mean).max())


def test_a_vertex_gives_its_weight_to_the_band_that_it_needs(problem) -> None:
    bands, Y = problem
    chosen = choose_penalties(bands, Y, folds(), TWO_BANDS, ALPHAS)
    shares = np.array(TWO_BANDS)[chosen.gamma, 1]
    assert (shares[:2] <= 0.1).all()
    assert (shares[2:4] >= 0.9).all()
    assert ((shares[4:6] > 0) & (shares[4:6] < 1)).all()


def test_no_penalty_depends_on_the_images_that_are_predicted(problem) -> None:
    bands, Y = problem
    other, others = Y.clone(), [band.clone() for band in bands]
    other[N_TRAIN:] = torch.nan
    for band in others:
        band[N_TRAIN:] = torch.nan
    before, after = (
        choose_penalties(one, responses, folds(), TWO_BANDS, ALPHAS)
        for one, responses in ((bands, Y), (others, other))
    )
    assert torch.equal(before.gamma, after.gamma)
    assert torch.equal(before.alpha, after.alpha)


def test_predictions_do_not_depend_on_the_responses_to_predicted_images(problem) -> None:
    bands, Y = problem
    rows = torch.arange(N_TRAIN), torch.arange(N_TRAIN, N_TRAIN + N_TEST)
    n = Y.shape[1]
    penalties = Penalties(TWO_BANDS, ALPHAS, torch.arange(n) % len(TWO_BANDS), torch.arange(n) % 4)
    other = Y.clone()
    other[N_TRAIN:] = torch.nan
    assert torch.equal(predict(bands, Y, rows, penalties), predict(bands, other, rows, penalties))


def test_candidates_hold_each_band_alone_and_shares_that_add_up_to_one() -> None:
    for n in (1, 2, 8):
        found = np.array(candidates_for(n))
        np.testing.assert_allclose(found.sum(axis=1), 1)
        np.testing.assert_array_equal(found[:n], np.eye(n))
        assert found.shape == ((1, 1) if n == 1 else (n + 17, n))
        np.testing.assert_array_equal(found, candidates_for(n))
    assert {(1.0, 0.0), (0.0, 1.0)} <= set(TWO_BANDS)
