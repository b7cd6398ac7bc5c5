"""The test of a vertex over images: against a loop, SciPy and many draws; its calibration."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats

from orchestrator.scores.statistics import vertex_tests
from orchestrator.scores.statistics.image_jackknife import standardise
from orchestrator.scores.statistics.vertex_tests import Predicted, VertexTests, compare_vertices
from tests.builders.simulated_predictions import simulate


def slow_test(y: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Leave each image out, correlate again; return the standard error and p."""
    n = len(y)
    kept = [np.delete(np.arange(n), image) for image in range(n)]
    without = [
        scipy.stats.pearsonr(y[k], a[k])[0] - scipy.stats.pearsonr(y[k], b[k])[0] for k in kept
    ]
    error = float(np.sqrt((n - 1) * np.var(without)))
    difference = scipy.stats.pearsonr(y, a)[0] - scipy.stats.pearsonr(y, b)[0]
    return error, float(2 * scipy.stats.t.sf(abs(difference) / error, n - 1))


def test_it_is_that_of_a_loop_which_leaves_each_image_out(monkeypatch) -> None:
    monkeypatch.setattr(vertex_tests, "CHUNK", 3)
    predicted = simulate(0, n_images=40, gain=0.5)
    ours = compare_vertices(predicted)
    for vertex in range(7):
        y, a, b = (one[:, vertex] for one in (predicted.measured, predicted.a, predicted.b))
        error, p = slow_test(y, a, b)
        assert ours.p[vertex] == pytest.approx(p, rel=1e-6)
        assert ours.r_a[vertex] == pytest.approx(scipy.stats.pearsonr(y, a)[0])
        assert ours.r_b[vertex] == pytest.approx(scipy.stats.pearsonr(y, b)[0])
        half = scipy.stats.t.ppf(0.975, 39) * error
        difference = ours.r_a[vertex] - ours.r_b[vertex]
        assert ours.low[vertex] == pytest.approx(difference - half)
        assert ours.high[vertex] == pytest.approx(difference + half)


def test_p_is_below_5_per_cent_just_where_the_interval_excludes_0() -> None:
    ours = compare_vertices(simulate(1, n_vertices=400, gain=0.3))
    excluded = (ours.low > 0) | (ours.high < 0)
    np.testing.assert_array_equal(ours.p < 0.05, excluded)
    assert 20 < excluded.sum() < 380


def test_scale_mean_and_half_precision_of_predictions_change_nothing_that_is_shown() -> None:
    plain = simulate(3)
    scaled = Predicted(
        1e4 * plain.measured + 1e6,
        standardise(plain.a).astype(np.float16),
        standardise(plain.b).astype(np.float16),
    )
    one, other = (compare_vertices(each) for each in (plain, scaled))
    for name in ("r_a", "r_b", "low", "high"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-3)


def test_swapping_the_methods_negates_the_interval_and_keeps_p() -> None:
    there = simulate(5, gain=0.3)
    one, other = compare_vertices(there), compare_vertices(Predicted(*_swapped(there)))
    np.testing.assert_allclose(one.low, -other.high)
    np.testing.assert_allclose(one.p, other.p)


def _swapped(predicted: Predicted) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return predicted.measured, predicted.b, predicted.a


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("copy", [lambda a: a, lambda a: 3.0 * a + 2.0])
def test_predictions_that_rank_all_images_alike_differ_by_nothing_and_p_is_1(
    copy: Callable[[np.ndarray], np.ndarray],
) -> None:
    predicted = simulate(6)
    ours = compare_vertices(Predicted(predicted.measured, predicted.a, copy(predicted.a)))
    np.testing.assert_array_equal(ours.p, 1)
    np.testing.assert_allclose([ours.low, ours.high], 0, atol=1e-12)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_vertex_without_r_has_no_test_and_others_keep_theirs() -> None:
    predicted = simulate(8)
    broken = Predicted(
        *(values.copy() for values in (predicted.measured, predicted.a, predicted.b))
    )
    broken.measured[:, 0] = 3.0
    broken.a[:, 1] = np.nan
    broken.measured[:, 2] = 0.0
    broken.measured[0, 2] = 1.0  # constant without the first image
    ours, whole = (compare_vertices(each) for each in (broken, predicted))
    assert np.isnan(ours.r_a[:2]).all()
    assert np.isfinite(ours.r_a[2])
    for name in ("low", "high", "p"):
        assert np.isnan(getattr(ours, name)[:3]).all()
        np.testing.assert_allclose(getattr(ours, name)[3:], getattr(whole, name)[3:])


@pytest.mark.parametrize("n_images", [1, 2, 3])
def test_of_fewer_than_four_images_nothing_is_called_different(n_images: int) -> None:
    p = compare_vertices(simulate(2, n_images=n_images, n_vertices=50)).p
    assert not (p < 0.01).any()


def _null(kind: str, n_images: int, n_vertices: int, seed: int) -> Predicted:
    """Two methods of equal true r: normal, with heavy tails, or with errors that images share."""
    rng = np.random.default_rng(seed)
    shape = (n_images, n_vertices)
    draw = rng.standard_normal if kind != "heavy" else lambda size: rng.standard_t(5, size)
    signal, noise, own_a, own_b, shared = (draw(shape) for _ in range(5))
    if kind == "image":  # some images have larger signal and errors at every vertex
        spread = np.sqrt(5 / rng.chisquare(5, (n_images, 1)))
        signal, noise, own_a, own_b, shared = (
            spread * one for one in (signal, noise, own_a, own_b, shared)
        )
    a, b = (signal + shared + 0.5 * own for own in (own_a, own_b))
    return Predicted(signal + 1.2 * noise, a, b)


def _rates(tests: list[VertexTests], levels: list[float]) -> list[float]:
    p = np.concatenate([one.p for one in tests])
    return [float((p <= level).mean() / level) for level in levels]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "n_images"), [("normal", 60), ("image", 60), ("heavy", 100)])
def test_without_a_difference_p_is_below_each_level_as_often_as_it_says(
    kind: str, n_images: int
) -> None:
    """Of 40,000 vertices of equal true r, the share with p ≤ level is that level, or less."""
    tests = [compare_vertices(_null(kind, n_images, 2_000, seed)) for seed in range(20)]
    of_5, of_1, of_01, of_001 = _rates(tests, [0.05, 0.01, 0.001, 0.0001])
    assert 0.75 < of_5 < 1.06
    assert 0.5 < of_1 < 1.15
    assert of_01 < 1.4
    assert of_001 < 2.5


def _shares_beyond_0(one: Predicted, n_draws: int) -> np.ndarray:
    """Resample the images; return how often each vertex' difference changes its sign."""
    rng, n = np.random.default_rng(0), len(one.measured)
    y, a, b = (standardise(values) for values in (one.measured, one.a, one.b))
    below = np.zeros(y.shape[1])
    first = n * np.arange(5_000)[:, None]
    for _ in range(n_draws // 5_000):
        rows = rng.integers(n, size=(5_000, n)) + first
        share = np.bincount(rows.ravel(), minlength=5_000 * n).reshape(-1, n) / n
        of_y, of_a, of_b = (share @ values for values in (y, a, b))
        r_a, r_b = (
            (share @ (y * values) - of_y * mean) / np.sqrt(share @ values**2 - mean**2)
            for values, mean in ((a, of_a), (b, of_b))
        )
        below += (r_a <= r_b).sum(axis=0)
    return np.minimum(below, n_draws - below) / n_draws


@pytest.mark.slow
def test_p_agrees_with_100_000_draws_of_the_images() -> None:
    """The share of draws beyond 0 is p / 2, but for a skewness that vanishes with n."""
    one = simulate(0, 400, 20, gain=0.3)
    theirs = 2 * _shares_beyond_0(one, 100_000)
    kept = theirs > 1e-3  # 50 draws
    ours, drawn = np.log10(compare_vertices(one).p[kept]), np.log10(theirs[kept])
    assert kept.sum() > 12
    assert ours.min() < -2
    np.testing.assert_allclose(ours, drawn, atol=np.log10(2))
    assert abs(np.mean(ours - drawn)) < np.log10(1.2)
