"""A readout refitted to NSD-synthetic: against scikit-learn, and without leaks between folds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from orchestrator.evaluate.ood.image_groups import grouped_folds, image_groups
from orchestrator.evaluate.ood.refitted_readout import RefittedReadout
from trainables.spec import Encoding

ENCODING = Encoding(layers=("0",), n_components=20, alphas=(0.1, 10.0, 1e3, 1e5), n_folds=4)


def columnwise_r(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a.T, b.T, strict=True)])


def refit(X: np.ndarray, Y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return RefittedReadout(torch.from_numpy(X @ X.T), groups, ENCODING).predict(Y)


def expected(X: np.ndarray, Y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Predict by scikit-learn, fold by fold, vertex by vertex."""

    def predict(train: np.ndarray, test: np.ndarray, alpha: float) -> np.ndarray:
        pca = PCA(ENCODING.n_components, svd_solver="full").fit(X[train])
        ridge = Ridge(alpha, solver="svd").fit(pca.transform(X[train]), Y[train])
        mean = X[np.concatenate([train, test])].mean(axis=0)
        return (X[test] - mean) @ pca.components_.T @ ridge.coef_.T

    found = np.zeros(Y.shape)
    for test in grouped_folds(groups, ENCODING.n_folds):
        train = np.setdiff1d(np.arange(len(X)), test)
        parts = [train[one] for one in grouped_folds(groups[train], ENCODING.n_folds)]
        measured = np.concatenate([Y[part] for part in parts])
        r = []
        for alpha in ENCODING.alphas:
            own = [predict(np.setdiff1d(train, part), part, alpha) for part in parts]
            r.append(columnwise_r(np.concatenate(own), measured))
        best = np.argmax(r, axis=0)
        assert len(set(best)) > 1
        every = np.stack([predict(train, test, alpha) for alpha in ENCODING.alphas])
        found[test] = every[best, :, np.arange(Y.shape[1])].T
    return found


def test_predictions_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 150)) * np.geomspace(10, 0.1, 150) + 3
    Y = X @ rng.standard_normal((150, 12)) * 0.1 + np.geomspace(0.1, 30, 12) * rng.standard_normal(
        (60, 12)
    )
    groups = np.repeat(np.arange(15), 4)
    np.testing.assert_allclose(refit(X, Y, groups), expected(X, Y, groups), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("n_folds", [2, 4])
@pytest.mark.parametrize("sizes", [(30, 1, 1), (30, 1, 1, 1), (2, 2, 2)])
def test_a_group_as_large_as_all_others_leaves_two_to_choose_alpha_in(
    n_folds: int, sizes: tuple[int, ...]
) -> None:
    """Planted without noise along one component, which any two images reveal."""
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    X = rng.standard_normal((len(groups), 1)) @ rng.standard_normal((1, 40))
    encoding = replace(ENCODING, n_folds=n_folds, alphas=(1e-9,))
    readout = RefittedReadout(torch.from_numpy(X @ X.T), groups, encoding)
    Y = X[:, :3]
    np.testing.assert_allclose(readout.predict(Y), Y - Y.mean(axis=0), rtol=1e-5)


def test_responses_of_no_relation_have_an_r_of_zero() -> None:
    """By an intercept of each fold, r would be far below 0: the strongest penalty is chosen."""
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((80, 40)), rng.standard_normal((80, 400))
    groups = np.repeat(np.arange(20), 4)
    Y += 2 * rng.standard_normal((20, 400))[groups]  # images of a group have like responses
    r = columnwise_r(refit(X, Y, groups), Y)
    assert abs(r.mean()) < 3 * r.std() / np.sqrt(len(r))
    assert r.std() / np.sqrt(len(r)) < 0.01


def test_near_copies_are_kept_on_one_side() -> None:
    """Each picture at three contrasts, with a response of its own that features do not explain."""
    rng = np.random.default_rng(2)
    pictures = rng.integers(0, 256, (25, 1, 3, 16, 16))
    contrasts = np.array([1.0, 0.5, 0.2]).reshape(3, 1, 1, 1)
    images = np.rint(128 + contrasts * (pictures - 128)).reshape(-1, 3, 16, 16)
    names = np.array([f"contrast {place % 3}, {place // 12}" for place in range(75)], object)
    alone = np.array([str(place) for place in range(75)], object)
    found = image_groups(torch.from_numpy(images.astype(np.uint8)), alone)
    assert found.tolist() == np.repeat(np.arange(25), 3).tolist()
    joined = image_groups(torch.from_numpy(images.astype(np.uint8)), names)
    assert len(set(joined)) == 7  # what subclasses join, of four pictures each
    X = images.reshape(75, -1).astype(float)
    Y = rng.standard_normal((25, 200))[found]
    apart, together = (columnwise_r(refit(X, Y, one), Y) for one in (np.arange(75), found))
    assert apart.mean() > 0.5
    assert abs(together.mean()) < 0.05


def test_blank_images_negatives_and_subclasses_are_alike() -> None:
    rng = np.random.default_rng(3)
    first, second, third = rng.integers(0, 256, (3, 3, 40, 40))
    blank, other_blank = np.full((2, 3, 40, 40), [[[[128]]], [[[7]]]])
    images = np.stack([first, blank, 255 - first, second, other_blank, third]).astype(np.uint8)
    subclasses = np.array(["a", "b", "c", "d", "e", "d"], object)
    assert image_groups(torch.from_numpy(images), subclasses).tolist() == [0, 1, 0, 2, 1, 2]


@pytest.mark.parametrize("n_folds", [2, 5, 9])
def test_folds_are_even_and_divide_no_group(n_folds: int) -> None:
    groups = np.random.default_rng(4).permutation(np.repeat(np.arange(7), [1, 9, 2, 8, 3, 7, 3]))
    folds = grouped_folds(groups, n_folds)
    assert len(folds) == min(n_folds, 7)
    assert np.sort(np.concatenate(folds)).tolist() == list(range(33))
    homes = [set(groups[fold]) for fold in folds]
    assert sum(map(len, homes)) == 7
    sizes = [len(fold) for fold in folds]
    assert max(sizes) - min(sizes) <= max(np.bincount(groups))
