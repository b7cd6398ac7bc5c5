from functools import cache

import numpy as np
import pytest
import torch
from himalaya.ridge import solve_ridge_svd
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from torch import Tensor

from trainables.compute import truncated_eigh
from trainables.compute.precision import Numerics
from trainables.encoding import ridge
from trainables.encoding.features import Storage, extract
from trainables.encoding.pca import FewFeatures, gram, read_layer
from trainables.encoding.ridge import Fold, correlate_each, score_fold
from trainables.models.backbones import build

ALPHAS = tuple(10.0**power for power in range(-1, 8))
N, N_TRAIN, N_VERTICES = 260, 200, 12
TRAIN, TEST = torch.arange(N_TRAIN), torch.arange(N_TRAIN, N)
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


def ours(X: Tensor, Y: Tensor, n_components: int = 1000, train=TRAIN, test=TEST) -> np.ndarray:
    return score_fold(gram([X]), (train, test), Y, ALPHAS, n_components).numpy()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed))


def responses(X: Tensor, seed: int = 1) -> Tensor:
    """Responses that the features explain half of."""
    Z = X.double() - X.double().mean(0)
    signal = Z @ normal(X.shape[1], N_VERTICES, seed=seed).double()
    return (signal / signal.std(0) + normal(len(X), N_VERTICES, seed=seed + 1)).float()


def decaying(n_features: int, low: float) -> Tensor:
    return normal(N, n_features) * torch.logspace(2, low, n_features)


SPECTRA = {
    "plain": normal(N, 600),
    "a mean of 10,000": normal(N, 600) + 1e4,
    "a mean of its own for each feature": 0.1 * normal(N, 600) + 1e3 * normal(1, 600, seed=5),
    "decaying by 6 decades": decaying(600, -4),
    "fewer features than images": decaying(80, -2),
    "one feature": normal(N, 1),
    "each image twice": normal(N, 600)[torch.arange(N) // 2],
    "rank 20": normal(N, 20) @ normal(20, 600, seed=5),
    "small": 1e-4 * normal(N, 600),
    "large": 1e5 * normal(N, 600),
    "mostly zero, as after a ReLU": torch.relu(normal(N, 600) - 2),
}


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
        monkeypatch.setattr(truncated_eigh, name, value)
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
        patch.setattr(truncated_eigh, "TRUNCATED_ROWS", len(X) + 1)
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


def test_gram_of_chunks_equals_gram_of_the_whole() -> None:
    X = SPECTRA["plain"]
    torch.testing.assert_close(gram(X.split([1, 250, 349], dim=1)), gram([X]))


def test_gram_equals_centred_inner_products_in_float64() -> None:
    X = SPECTRA["a mean of 10,000"]
    Z = X.double() - X.double().mean(0)
    torch.testing.assert_close(gram([X]), Z @ Z.T, rtol=1e-12, atol=1e-7)


def test_gram_of_fewer_images_than_blocks_is_whole() -> None:
    X = normal(3, 5).double()
    Z = X - X.mean(0)
    torch.testing.assert_close(gram([X]), Z @ Z.T)


def test_gram_does_not_change_the_features() -> None:
    X = normal(20, 5).double()
    before = X.clone()
    gram([X])
    assert torch.equal(X, before)


def test_gram_of_nothing_raises() -> None:
    with pytest.raises(ValueError, match="no features"):
        gram([])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_diverged_backbone_raises(bad) -> None:
    X = normal(20, 5).index_put((torch.tensor(3), torch.tensor(2)), torch.tensor(bad))
    with pytest.raises(ValueError, match="diverged"):
        gram([X])


def test_a_large_mean_costs_no_digits() -> None:
    X = normal(N, 600).double()
    Y = responses(X)
    np.testing.assert_allclose(ours(X + 1e6, Y), ours(X, Y), atol=1e-6)


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
    monkeypatch.setattr(ridge, "CHUNK_BYTES", 4 * 5 * len(ALPHAS) * len(TEST))
    np.testing.assert_allclose(ours(X, Y), whole, atol=1e-6)


PROPERTY = settings(max_examples=15, deadline=None)
SMALL = torch.arange(30), torch.arange(30, 45)
seeds = st.integers(0, 2**31)


def small(seed: int) -> tuple[Tensor, Tensor]:
    return normal(45, 25, seed=seed), normal(45, 6, seed=seed + 1).double()


def small_r(X: Tensor, Y: Tensor, rows: tuple[Tensor, Tensor] = SMALL) -> np.ndarray:
    return ours(X, Y, 20, *rows)


@PROPERTY
@given(seeds, st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
def test_r_ignores_scale_and_shift_of_the_responses(seed, scale, shift) -> None:
    X, Y = small(seed)
    np.testing.assert_allclose(small_r(X, scale * (Y + shift)), small_r(X, Y), atol=1e-5)


@PROPERTY
@given(seeds)
def test_r_changes_sign_with_the_responses_of_the_test_images(seed) -> None:
    X, Y = small(seed)
    flipped = Y.clone()
    flipped[SMALL[1]] *= -1
    np.testing.assert_allclose(small_r(X, flipped), -small_r(X, Y), atol=1e-6)


@PROPERTY
@given(seeds, st.floats(-1e4, 1e4))
def test_r_ignores_a_shift_of_the_features(seed, shift) -> None:
    X, Y = small(seed)
    moved = X.double() + shift * normal(25, seed=seed + 2).double()
    np.testing.assert_allclose(small_r(moved, Y), small_r(X, Y), atol=1e-5)


@PROPERTY
@given(seeds)
def test_r_ignores_the_order_of_images_within_a_side(seed) -> None:
    X, Y = small(seed)
    rows = tuple(side[torch.randperm(len(side), generator=generator(seed))] for side in SMALL)
    np.testing.assert_allclose(small_r(X, Y, rows), small_r(X, Y), atol=1e-5)


@PROPERTY
@given(seeds, st.sets(st.integers(0, 5), min_size=1))
def test_r_of_a_vertex_does_not_depend_on_the_others(seed, chosen) -> None:
    X, Y = small(seed)
    columns = sorted(chosen)
    np.testing.assert_allclose(small_r(X, Y[:, columns]), small_r(X, Y)[:, columns], atol=1e-6)


@PROPERTY
@given(seeds)
def test_r_lies_between_minus_one_and_one(seed) -> None:
    assert np.abs(small_r(*small(seed))).max() <= 1 + 1e-6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", SPECTRA)
def test_a_gpu_scores_as_the_cpu_does(name) -> None:
    X = SPECTRA[name]
    Y, rows = responses(X), (TRAIN.cuda(), TEST.cuda())
    r = score_fold(gram([X.cuda()]), rows, Y.cuda(), ALPHAS, 1000).cpu().numpy()
    np.testing.assert_allclose(r, scikit_learn(X, Y, 1000), atol=1e-5)
