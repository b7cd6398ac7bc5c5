"""Fits that count each trial of an image: scikit-learn's, on one row per trial."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from tests.builders.layer_features import ALPHAS, LAYERS, N, encoding, score, simulate, split
from trainables.compute.numerics import Numerics
from trainables.encoding.banded_ridge import TWO_BANDS, choose_penalties, predict
from trainables.encoding.bands import network_bands
from trainables.encoding.features import FeatureStore
from trainables.encoding.pca import read_layer
from trainables.encoding.protocols import contiguous_folds
from trainables.encoding.refit import fit_pca, project_rows
from trainables.encoding.split_sizes import REFITTED
from trainables.encoding.variance import Task

K = 8
COUNTS = np.random.default_rng(3).integers(1, 4, N)
LAYERS_OF, MEANS = simulate()
IMAGE_OF = np.repeat(np.arange(N), COUNTS)
"""The image of each trial."""


def trials() -> np.ndarray:
    """Single trials, of which MEANS are the means up to rounding."""
    noise = np.random.default_rng(4).normal(size=(len(IMAGE_OF), MEANS.shape[1]))
    for image in range(N):
        own = np.flatnonzero(image == IMAGE_OF)
        noise[own] -= noise[own].mean(axis=0)
    return MEANS[IMAGE_OF] + 2 * noise


TRIALS = trials()


def predict_by_scikit_learn(layer: str, train, test, alpha: float) -> np.ndarray:
    """Fit one row per trial of the training images, and predict the test images."""
    X = LAYERS_OF[layer].numpy().astype(np.float64)
    rows = np.flatnonzero(np.isin(IMAGE_OF, train))
    projection = PCA(K, svd_solver="full").fit(X[IMAGE_OF[rows]])
    fitted = projection.transform(X[IMAGE_OF[rows]])
    return Ridge(alpha=alpha).fit(fitted, TRIALS[rows]).predict(projection.transform(X[test]))


def r_by_scikit_learn(layer: str, train, test) -> np.ndarray:
    """Correlate with the mean responses of the test images: (n_alphas, n_vertices)."""
    found = []
    for alpha in ALPHAS:
        predicted = predict_by_scikit_learn(layer, train, test, alpha)
        pairs = zip(predicted.T, MEANS[test].T, strict=True)
        found.append([np.corrcoef(one, other)[0, 1] for one, other in pairs])
    return np.array(found)


@pytest.mark.parametrize("protocol", ["nested", "clean", "paper", "released"])
def test_scores_are_those_of_a_regression_on_one_row_per_trial(protocol) -> None:
    parts = replace(split(), n_trials=COUNTS)
    settings = encoding(protocol, n_components=K, n_folds=4)
    [found] = score(LAYERS_OF, MEANS, settings, split=parts)
    chosen = {"nested": parts.train, "clean": parts.clean, "paper": parts.test}
    rows = chosen.get(protocol, parts.released)
    folds = [(train.numpy(), held_out.numpy()) for train, held_out in contiguous_folds(rows, 4)]
    for number, layer in enumerate(LAYERS):
        over_folds = np.mean([r_by_scikit_learn(layer, *fold) for fold in folds], axis=0)
        np.testing.assert_allclose(found.choice_by_layer[number], over_folds.max(axis=0), atol=1e-5)
        if protocol in REFITTED:
            best = (over_folds.argmax(axis=0), np.arange(MEANS.shape[1]))
            expected = r_by_scikit_learn(layer, rows, parts.test)[best]
            np.testing.assert_allclose(found.r_by_layer[number], expected, atol=1e-5)


def test_equal_numbers_of_trials_score_as_means_do() -> None:
    """As ridge of three equal rows per image is ridge of means with a third of the penalty."""
    alphas = tuple(3 * alpha for alpha in ALPHAS)
    thrice = replace(encoding("nested"), alphas=alphas)
    parts = replace(split(), n_trials=np.full(N, 3))
    [means] = score(LAYERS_OF, MEANS, encoding("nested"))
    [rows] = score(LAYERS_OF, MEANS, thrice, split=parts)
    np.testing.assert_allclose(rows.r_by_layer, means.r_by_layer, atol=1e-5)
    np.testing.assert_array_equal(rows.alpha, 3 * means.alpha)


def test_no_image_is_on_both_sides_of_a_fold() -> None:
    """As by scikit-learn's folds of groups: each image's trials are in one held-out part."""
    rows = split().train
    ours = [(train.numpy(), held_out.numpy()) for train, held_out in contiguous_folds(rows, 4)]
    trials_of = np.flatnonzero(np.isin(IMAGE_OF, rows))
    groups = IMAGE_OF[trials_of]
    theirs = [
        (groups[train], groups[held_out])
        for train, held_out in GroupKFold(4).split(groups, groups=groups)
    ]
    for folds in (ours, theirs):
        assert all(not np.intersect1d(*fold).size for fold in folds)
        np.testing.assert_array_equal(
            np.unique(np.concatenate([b for _, b in folds])), sorted(rows)
        )


@pytest.mark.parametrize("layer", ["middle", "deep"])
def test_the_readout_that_is_exported_is_that_of_one_row_per_trial(layer) -> None:
    parts, alpha = split(), 10.0
    chunks = [LAYERS_OF[layer]]
    read = read_layer(chunks, LAYERS_OF[layer].shape[1], N)
    rows = torch.from_numpy(parts.train)
    weights = torch.from_numpy(COUNTS[parts.train].astype(np.float64))
    fitted = fit_pca(read, lambda: chunks, rows, K, weights=weights)
    alphas = torch.full((MEANS.shape[1],), alpha)
    readout = fitted.fit_readout(torch.from_numpy(MEANS)[rows], alphas)
    predicted = readout.predict(
        project_rows(fitted.projection, chunks, torch.from_numpy(parts.test))
    )
    expected = predict_by_scikit_learn(layer, parts.train, parts.test, alpha)
    np.testing.assert_allclose(predicted, expected, atol=1e-4)


ROWS = np.concatenate([IMAGE_OF[np.isin(IMAGE_OF, split().train)], split().test])
"""The image of each row of a table with one row per trial of the training images."""
N_FITTED = int(np.isin(IMAGE_OF, split().train).sum())


def weights_of(images) -> torch.Tensor:
    return torch.from_numpy(COUNTS[images].astype(np.float64))


def test_bands_are_those_of_one_row_per_trial() -> None:
    """Up to the signs of components."""
    train, test = split().train, split().test
    bands = []
    for images, fitted, weights in (
        (np.arange(N), train, weights_of(train)),
        (ROWS, np.arange(N_FITTED), None),
    ):
        store = FeatureStore({name: X[images] for name, X in LAYERS_OF.items()})
        rows = torch.from_numpy(fitted)
        bands.append(network_bands(store, LAYERS, rows, 12, Numerics(True), weights))
    counted, expanded = bands
    for one, other in zip(
        (*counted.layers, counted.concatenated),
        (*expanded.layers, expanded.concatenated),
        strict=True,
    ):
        np.testing.assert_allclose(one[test].abs(), other[N_FITTED:].abs(), atol=1e-6)


def test_banded_ridge_is_that_of_one_row_per_trial() -> None:
    """Of fits and their predictions; held-out images count once when penalties are chosen."""
    train, test = split().train, split().test
    bands = [LAYERS_OF[name].double() for name in LAYERS[:2]]
    Y, weights = torch.from_numpy(MEANS).double(), weights_of(np.arange(N))
    folds = [(torch.from_numpy(train[20:]), torch.from_numpy(train[:20]))]
    chosen = choose_penalties(bands, Y, folds, TWO_BANDS, ALPHAS, weights)
    expanded_bands = [band[ROWS] for band in bands]
    of_trials = torch.from_numpy(TRIALS[np.isin(IMAGE_OF, train)]).double()
    expanded_Y = torch.cat([of_trials, Y[test]])
    in_train = np.flatnonzero(np.isin(ROWS[:N_FITTED], train[20:]))
    held = N_FITTED + len(test) + np.arange(20)
    more_bands = [torch.cat([e, b[train[:20]]]) for e, b in zip(expanded_bands, bands, strict=True)]
    more_Y = torch.cat([expanded_Y, Y[train[:20]]])
    expected = choose_penalties(
        more_bands,
        more_Y,
        [(torch.from_numpy(in_train), torch.from_numpy(held))],
        TWO_BANDS,
        ALPHAS,
    )
    assert torch.equal(chosen.gamma, expected.gamma)
    assert torch.equal(chosen.alpha, expected.alpha)
    rows = (torch.from_numpy(train), torch.from_numpy(test))
    found = predict(bands, Y, rows, chosen, weights)
    fitted, others = torch.arange(N_FITTED), torch.arange(N_FITTED, len(ROWS))
    wanted = predict(expanded_bands, expanded_Y, (fitted, others), expected)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert (found - predict(bands, Y, rows, chosen)).abs().max() > 1e-3


def test_a_partition_of_variance_counts_trials() -> None:
    train, test = split().train, split().test
    bands = [LAYERS_OF[name].double() for name in LAYERS[:2]]
    Y = torch.from_numpy(MEANS).double()
    task = Task(Y, train, test, 4, ALPHAS, COUNTS)
    rows = (torch.from_numpy(train), torch.from_numpy(test))
    weights = weights_of(np.arange(N))
    folds = contiguous_folds(train, 4)
    chosen = choose_penalties(bands, Y, folds, TWO_BANDS, ALPHAS, weights)
    expected = predict(bands, Y, rows, chosen, weights)
    torch.testing.assert_close(task.predict(bands, TWO_BANDS), expected)
    uncounted = replace(task, n_trials=None).predict(bands, TWO_BANDS)
    assert (uncounted - expected).abs().max() > 1e-3
