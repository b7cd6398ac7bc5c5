"""Ridge on principal components, against scikit-learn, himalaya and SciPy."""

from functools import cache

import numpy as np
import pytest
import torch
from himalaya.ridge import solve_ridge_svd
from scipy.stats import pearsonr
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from torch import Tensor

from tests.builders.ridge_cases import (
    ALPHAS,
    N_VERTICES,
    SPECTRA,
    TEST,
    TRAIN,
    N,
    decaying,
    generator,
    normal,
    ours,
    responses,
)
from trainables.compute import numerics, truncated_eigh
from trainables.compute.numerics import Numerics
from trainables.encoding import ridge
from trainables.encoding.features import Storage, extract
from trainables.encoding.pca import FewFeatures, gram, read_layer
from trainables.encoding.ridge import Fold, correlate_each, score_fold
from trainables.models.backbones import build

LAYERS = ("features.5", "features.12", "classifier.2", "classifier.6")


def principal_scores(X: Tensor, train: Tensor, test: Tensor, n_components: int):
    X64 = X.double().numpy()
    pca = PCA(min(n_components, len(train) - 1, X.shape[1]), svd_solver="full").fit(X64[train])
    scores = pca.transform(X64[test])
    return pca.transform(X64[train]), scores - scores.mean(0)


def pearson(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Columns correlated in float64; NaN where one is constant."""
    a, b = (values - values.mean(0) for values in (predicted, measured))
    with np.errstate(invalid="ignore"):
        return (a * b).sum(0) / np.sqrt((a**2).sum(0) * (b**2).sum(0))


def scikit_learn(X: Tensor, Y: Tensor, n_components: int, train=TRAIN, test=TEST) -> np.ndarray:
    """The oracle, without the intercept, beside which small predictions lose their digits."""
    A, B = principal_scores(X, train, test, n_components)
    Y64 = Y.double().numpy()
    fits = [Ridge(alpha=alpha).fit(A, Y64[train]) for alpha in ALPHAS]
    return np.array([pearson(B @ fit.coef_.T, Y64[test]) for fit in fits])


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("n_components", [1000, 30])
def test_r_equals_scikit_learns_for_every_alpha_and_vertex(name, n_components) -> None:
    X = SPECTRA[name]
    Y = responses(X)
    np.testing.assert_allclose(
        ours(X, Y, n_components), scikit_learn(X, Y, n_components), atol=1e-6
    )


FEW = {
    "few features": normal(N, 80),
    "with means of 10,000": normal(N, 80) + 1e4,
    "decaying by 6 decades": decaying(80, -4),
    "of rank 20": normal(N, 20) @ normal(20, 80, seed=5),
    "most of them dead": torch.relu(normal(N, 80)) * (torch.arange(80) < 10),
    "one feature": normal(N, 1),
}


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("n_components", [1000, 30])
def test_r_from_few_features_equals_scikit_learns(name, n_components) -> None:
    X = FEW[name]
    Y, layer = responses(X), read_layer(X.split(33, dim=1), X.shape[1], N)
    assert isinstance(layer, FewFeatures)
    r = score_fold(layer, (TRAIN, TEST), Y, ALPHAS, n_components).numpy()
    np.testing.assert_allclose(r, scikit_learn(X, Y, n_components), atol=1e-6)
    np.testing.assert_allclose(r, ours(X, Y, n_components), atol=1e-6)


def test_many_features_are_read_as_products_of_images() -> None:
    X = normal(N, N // 3 + 1)
    torch.testing.assert_close(read_layer([X], X.shape[1], N), gram([X]))


def test_few_features_that_are_not_finite_are_refused() -> None:
    X = normal(N, 2)
    X[3, 1] = torch.nan
    with pytest.raises(ValueError, match="the backbone has diverged"):
        read_layer([X], 2, N)


@pytest.fixture
def truncated(monkeypatch):
    """Components are found by truncation, as they are of thousands of rows; what was found is
    kept."""
    for name, value in {"TRUNCATED_ROWS": 0, "SPARE": 8, "BLOCK": 4}.items():
        for module in (numerics, truncated_eigh):
            monkeypatch.setattr(module, name, value, raising=module is numerics)
    found, original = [], truncated_eigh._truncated
    monkeypatch.setattr(
        truncated_eigh, "_truncated", lambda K, k: found.append(original(K, k)) or found[-1]
    )
    return found


@pytest.mark.parametrize("name", SPECTRA)
def test_components_found_in_part_give_the_same_r(name, truncated) -> None:
    X = SPECTRA[name]
    Y = responses(X)
    found = ours(X, Y, n_components=28)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numerics, "TRUNCATED_ROWS", len(X) + 1)
        np.testing.assert_allclose(found, ours(X, Y, n_components=28), atol=1e-5)
    assert len(truncated) == 1


def test_components_that_float32_loses_are_found_in_float64(truncated) -> None:
    for name, is_enough in (("decaying by 6 decades", True), ("rank 20", False)):
        ours(SPECTRA[name], responses(SPECTRA[name]), n_components=28)
        assert (truncated.pop() is not None) is is_enough, name


def test_what_is_to_be_deterministic_takes_no_fast_path(truncated, monkeypatch) -> None:
    X = SPECTRA["decaying by 6 decades"]
    Y = responses(X)
    monkeypatch.setattr(ridge, "_correlate_by_components", pytest.fail)
    numerics = Numerics(deterministic=True)
    r = score_fold(gram([X]), (TRAIN, TEST), Y, ALPHAS, 28, numerics).numpy()
    assert truncated == []
    np.testing.assert_allclose(r, scikit_learn(X, Y, 28), atol=1e-6)


@cache
def backbone_features() -> dict[str, Tensor]:
    """Activations of a backbone for smooth random images, (N, n_features) a layer."""
    coarse = torch.rand(N, 3, 8, 8, generator=generator())
    images = torch.nn.functional.interpolate(coarse, (64, 64), mode="bicubic").clamp(0, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build("narrow-alexnet")
    storage = Storage(torch.device("cpu"), 2**30, None)  # type: ignore[arg-type]
    store = extract(network, LAYERS, (images * 255).byte().split(64), N, storage)
    return {layer: torch.cat(list(store.columns(layer)), dim=1) for layer in LAYERS}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("n_components", [1000, 100])
def test_r_on_a_backbones_features_equals_scikit_learns_in_every_fold(layer, n_components) -> None:
    X = backbone_features()[layer]
    Y, K, rows = responses(X), gram([X]), np.random.default_rng(0).permutation(N)
    for fold in range(5):
        test = torch.from_numpy(rows[fold * 52 : (fold + 1) * 52])
        train = torch.from_numpy(np.setdiff1d(rows, test))
        r = score_fold(K, (train, test), Y, ALPHAS, n_components).numpy()
        expected = scikit_learn(X, Y, n_components, train, test)
        np.testing.assert_allclose(r, expected, atol=1e-6)


def test_r_equals_himalayas_ridge_on_the_same_principal_scores() -> None:
    X = backbone_features()["features.12"]
    Y = responses(X)
    A, B = principal_scores(X, TRAIN, TEST, 50)
    Y_train = Y[TRAIN].double().numpy()
    for alpha, r in zip(ALPHAS, ours(X, Y, 50), strict=True):
        weights, _ = solve_ridge_svd(A, Y_train, alpha=alpha, fit_intercept=True, warn=False)
        np.testing.assert_allclose(r, pearson(B @ weights, Y[TEST].double().numpy()), atol=1e-6)


def test_r_equals_scipys_pearsonr() -> None:
    X = SPECTRA["plain"]
    Y = responses(X)
    A, B = principal_scores(X, TRAIN, TEST, 1000)
    predicted = Ridge(alpha=10.0).fit(A, Y[TRAIN]).predict(B)
    expected = [pearsonr(p, y)[0] for p, y in zip(predicted.T, Y[TEST].numpy().T, strict=True)]
    np.testing.assert_allclose(ours(X, Y)[ALPHAS.index(10.0)], expected, atol=1e-5)


def test_each_vertex_at_its_own_alpha_equals_all_at_all_alphas() -> None:
    X = SPECTRA["decaying by 6 decades"]
    Y = responses(X)
    K, chosen = gram([X]), torch.arange(N_VERTICES) % len(ALPHAS)
    alphas = torch.tensor(ALPHAS, dtype=torch.float64)[chosen]
    each = correlate_each(Fold.fit(K, TRAIN, TEST, 1000), Y, alphas)
    every = score_fold(K, (TRAIN, TEST), Y, ALPHAS, 1000)
    torch.testing.assert_close(each, every[chosen, torch.arange(N_VERTICES)], rtol=0, atol=1e-6)


def test_constant_vertices_score_nan_and_leave_the_others_alone() -> None:
    X = SPECTRA["plain"]
    Y = responses(X)
    alone = ours(X, Y)
    Y[:, 0] = 0.1
    Y[TRAIN, 1] = 7.3
    Y[TEST, 2] = -1e-3
    r = ours(X, Y)
    assert np.isnan(r[:, :3]).all()
    np.testing.assert_array_equal(r[:, 3:], alone[:, 3:])


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_features_that_do_not_vary_predict_a_constant_and_score_nan(value) -> None:
    X = torch.full((N, 50), value)
    assert np.isnan(ours(X, normal(N, N_VERTICES))).all()


def test_test_images_that_are_all_alike_score_nan() -> None:
    X = SPECTRA["plain"].clone()
    X[TEST] = X[:1].clone()
    assert np.isnan(ours(X, normal(N, N_VERTICES))).all()


def test_features_constant_over_the_training_images_score_nan() -> None:
    X = SPECTRA["plain"].clone()
    X[TRAIN] = X[:1].clone()
    assert np.isnan(ours(X, normal(N, N_VERTICES))).all()


def test_an_roi_of_four_vertices_is_scored() -> None:
    X = SPECTRA["plain"]
    Y = responses(X)
    np.testing.assert_allclose(ours(X, Y[:, :4]), ours(X, Y)[:, :4], atol=1e-6)


def test_planted_signal_is_recovered_and_shuffled_responses_score_near_zero() -> None:
    X = normal(N, 40)
    Y = X @ normal(40, 200, seed=3) + 0.1 * normal(N, 200, seed=4)
    assert ours(X, Y)[0].min() > 0.98
    shuffled = ours(X, Y[torch.randperm(N, generator=generator())])[0]
    assert abs(shuffled.mean()) < 0.05


def test_chunks_of_vertices_give_what_all_at_once_give(monkeypatch) -> None:
    X = SPECTRA["plain"]
    Y = responses(X)
    whole = ours(X, Y)
    by_components = ours(X, Y, 10)
    monkeypatch.setattr(ridge, "CHUNK_BYTES", 4 * 5 * len(ALPHAS) * len(TEST))
    np.testing.assert_allclose(ours(X, Y), whole, atol=1e-6)
    np.testing.assert_allclose(ours(X, Y, 10), by_components, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", SPECTRA)
def test_a_gpu_scores_as_the_cpu_does(name) -> None:
    X = SPECTRA[name]
    Y, rows = responses(X), (TRAIN.cuda(), TEST.cuda())
    r = score_fold(gram([X.cuda()]), rows, Y.cuda(), ALPHAS, 1000).cpu().numpy()
    np.testing.assert_allclose(r, scikit_learn(X, Y, 1000), atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 50, 4, 6), (40, 3, 40, 30), (40, 3, 2, 1), (5, 5, 5, 5)])
def test_a_product_takes_the_order_of_fewer_operations(shape, monkeypatch) -> None:
    n, k, m, n_columns = shape
    done = []

    def counted(X, Y):
        done.append(X.shape[0] * X.shape[1] * Y.shape[1])
        return X @ Y

    monkeypatch.setattr(ridge, "multiply", counted)
    A, B, columns = torch.randn(n, k), torch.randn(k, m), torch.randn(m, n_columns)
    found = ridge._product(A, B, n_columns)(columns)
    torch.testing.assert_close(found, A @ B @ columns, rtol=1e-4, atol=1e-4)
    assert sum(done) == min(n * k * m + n * m * n_columns, k * m * n_columns + n * k * n_columns)
