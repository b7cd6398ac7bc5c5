"""The bootstrap over test images: against a slow loop and SciPy; coverage and false discoveries."""

import numpy as np
import pytest
import scipy.stats

from orchestrator.scores.statistics.false_discovery import adjust
from orchestrator.scores.statistics.image_bootstrap import (
    ImageBootstrap,
    Predicted,
    bootstrap_vertices,
    draw_counts,
    standardise,
)

DRAW = ImageBootstrap(n_draws=200)


def simulate(
    seed: int, n_images: int = 120, n_vertices: int = 7, gain: float | np.ndarray = 0.0
) -> Predicted:
    """Two methods that share most of their error; a is the better one by gain."""
    rng = np.random.default_rng(seed)
    signal, shared, *noise = rng.standard_normal((5, n_images, n_vertices))
    measured = signal + 1.5 * noise[0]
    a = (1 + gain) * signal + 0.8 * shared + 0.5 * noise[1]
    return Predicted(measured, a, signal + 0.8 * shared + 0.5 * noise[2])


def slow_draws(predicted: Predicted, counts: np.ndarray) -> np.ndarray:
    """Repeat each image as often as it was drawn, and correlate."""
    differences = np.empty((len(counts), predicted.measured.shape[1]))
    for number, count in enumerate(counts.astype(int)):
        rows = np.repeat(np.arange(len(count)), count)
        for vertex in range(predicted.measured.shape[1]):
            y = predicted.measured[rows, vertex]
            r = [np.corrcoef(y, p[rows, vertex])[0, 1] for p in (predicted.a, predicted.b)]
            differences[number, vertex] = r[0] - r[1]
    return differences


def test_draws_are_those_of_a_loop_over_resampled_images() -> None:
    predicted = simulate(0)
    counts = draw_counts(120, DRAW, "nsd-subj01")
    slow, ours = slow_draws(predicted, counts), bootstrap_vertices(predicted, counts)
    np.testing.assert_allclose(ours.low, np.quantile(slow, 0.025, axis=0), atol=5e-6)
    np.testing.assert_allclose(ours.high, np.quantile(slow, 0.975, axis=0), atol=5e-6)
    np.testing.assert_allclose(ours.drawn_mean, slow.mean(axis=1), atol=5e-6)
    tail = np.minimum((slow <= 0).sum(axis=0), (slow >= 0).sum(axis=0))
    np.testing.assert_allclose(ours.p, np.minimum(2 * (1 + tail) / 201, 1))


def test_r_is_that_of_all_images() -> None:
    predicted = simulate(1)
    ours = bootstrap_vertices(predicted, draw_counts(120, DRAW, "x"))
    for vertex in range(7):
        y = predicted.measured[:, vertex]
        for r, p in ((ours.r_a, predicted.a), (ours.r_b, predicted.b)):
            assert r[vertex] == pytest.approx(scipy.stats.pearsonr(y, p[:, vertex])[0])


def test_the_interval_agrees_with_scipy_s_paired_bootstrap() -> None:
    predicted = simulate(2, n_vertices=1, gain=0.3)
    columns = tuple(values[:, 0] for values in (predicted.measured, predicted.a, predicted.b))

    def difference(y, a, b, axis):
        return scipy.stats.pearsonr(y, a, axis=axis)[0] - scipy.stats.pearsonr(y, b, axis=axis)[0]

    theirs = scipy.stats.bootstrap(
        columns, difference, paired=True, vectorized=True, n_resamples=8000, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    ours = bootstrap_vertices(predicted, draw_counts(120, ImageBootstrap(8000), "x"))
    width = theirs.high - theirs.low
    assert ours.low[0] == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high[0] == pytest.approx(theirs.high, abs=0.05 * width)


def test_scale_mean_and_half_precision_of_predictions_change_nothing_that_is_shown() -> None:
    plain, counts = simulate(3), draw_counts(120, DRAW, "x")
    scaled = Predicted(
        1e4 * plain.measured + 1e6,
        standardise(plain.a).astype(np.float16),
        standardise(plain.b).astype(np.float16),
    )
    one, other = (bootstrap_vertices(each, counts) for each in (plain, scaled))
    for name in ("r_a", "r_b", "low", "high"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-3)


def test_chunks_of_vertices_do_not_change_the_draws(monkeypatch) -> None:
    predicted, counts = simulate(4, n_vertices=11), draw_counts(120, DRAW, "x")
    whole = bootstrap_vertices(predicted, counts)
    monkeypatch.setattr("orchestrator.scores.statistics.image_bootstrap.CHUNK", 3)
    parts = bootstrap_vertices(predicted, counts)
    np.testing.assert_allclose(parts.low, whole.low, atol=1e-6)
    np.testing.assert_allclose(parts.drawn_mean, whole.drawn_mean, atol=1e-6)


def test_swapping_the_methods_negates_the_interval_and_keeps_p() -> None:
    there, counts = simulate(5, gain=0.3), draw_counts(120, DRAW, "x")
    back = Predicted(there.measured, there.b, there.a)
    one, other = (bootstrap_vertices(each, counts) for each in (there, back))
    np.testing.assert_allclose(one.low, -other.high, atol=1e-6)
    np.testing.assert_array_equal(one.p, other.p)


def test_equal_predictions_differ_by_nothing_and_p_is_1() -> None:
    predicted = simulate(6)
    ours = bootstrap_vertices(
        Predicted(predicted.measured, predicted.a, predicted.a), draw_counts(120, DRAW, "x")
    )
    np.testing.assert_array_equal(ours.low, 0)
    np.testing.assert_array_equal(ours.p, 1)


def test_both_methods_are_measured_on_the_same_images_in_every_draw() -> None:
    """b ranks images as a does, so r is equal in each draw, unless the draws differ."""
    predicted, counts = simulate(10), draw_counts(120, DRAW, "x")
    ours = bootstrap_vertices(
        Predicted(predicted.measured, predicted.a, 3.0 * predicted.a + 2.0), counts
    )
    np.testing.assert_allclose(ours.drawn_mean, 0, atol=1e-6)
    np.testing.assert_allclose([ours.low, ours.high], 0, atol=1e-6)
    apart = bootstrap_vertices(predicted, counts[::-1])
    np.testing.assert_array_equal(
        apart.drawn_mean[::-1], bootstrap_vertices(predicted, counts).drawn_mean
    )


def test_a_difference_in_every_draw_has_the_smallest_p_there_is_which_is_not_0() -> None:
    y = simulate(7).measured
    noise = np.random.default_rng(7).standard_normal(y.shape)
    ours = bootstrap_vertices(Predicted(y, y + 0.1 * noise, noise), draw_counts(120, DRAW, "x"))
    np.testing.assert_allclose(ours.p, 2 / 201)


def test_a_vertex_without_r_has_no_interval_and_others_keep_theirs() -> None:
    predicted, counts = simulate(8), draw_counts(120, DRAW, "x")
    broken = Predicted(
        *(values.copy() for values in (predicted.measured, predicted.a, predicted.b))
    )
    broken.measured[:, 0] = 3.0
    broken.a[:, 1] = np.nan
    ours, whole = (bootstrap_vertices(each, counts) for each in (broken, predicted))
    for name in ("low", "high", "p"):
        assert np.isnan(getattr(ours, name)[:2]).all()
        np.testing.assert_allclose(getattr(ours, name)[2:], getattr(whole, name)[2:], atol=1e-6)


def test_a_draw_without_variance_is_left_out() -> None:
    predicted = simulate(9, n_images=40, n_vertices=1)
    rare = np.zeros((40, 1))
    rare[0] = 1.0  # constant in a draw without image 0: about 37 % of them
    counts = draw_counts(40, DRAW, "x")
    ours = bootstrap_vertices(Predicted(rare, predicted.a, predicted.b), counts)
    kept = counts[:, 0] > 0
    slow = slow_draws(Predicted(rare, predicted.a, predicted.b), counts[kept])
    assert 0.2 < np.mean(~kept) < 0.5
    assert ours.low[0] == pytest.approx(np.quantile(slow, 0.025), abs=1e-5)
    tail = min((slow <= 0).sum(), (slow >= 0).sum())
    assert ours.p[0] == pytest.approx(min(1, 2 * (1 + tail) / (1 + kept.sum())))


def test_the_mean_of_a_draw_leaves_out_vertices_without_an_r_in_it() -> None:
    predicted = simulate(9, n_images=40, n_vertices=2)
    predicted.measured[:, 0] = 0.0
    predicted.measured[0, 0] = 1.0  # constant in a draw without image 0
    counts = draw_counts(40, DRAW, "x")
    kept = counts[:, 0] > 0
    both = bootstrap_vertices(predicted, counts).drawn_mean
    alone = [
        bootstrap_vertices(
            Predicted(predicted.measured[:, [k]], predicted.a[:, [k]], predicted.b[:, [k]]), counts
        ).drawn_mean
        for k in (0, 1)
    ]
    assert np.isnan(alone[0][~kept]).all()
    np.testing.assert_allclose(both[~kept], alone[1][~kept], atol=1e-6)
    np.testing.assert_allclose(both[kept], (alone[0] + alone[1])[kept] / 2, atol=1e-6)


def test_draws_take_as_many_images_as_there_are_and_depend_on_the_subject_alone() -> None:
    counts = draw_counts(50, DRAW, "nsd-subj01")
    assert counts.shape == (200, 50)
    np.testing.assert_array_equal(counts.sum(axis=1), 50)
    np.testing.assert_array_equal(counts, draw_counts(50, DRAW, "nsd-subj01"))
    assert (counts != draw_counts(50, DRAW, "nsd-subj02")).any()
    assert counts.var() == pytest.approx(1 - 1 / 50, rel=0.05)


def brute_force(p: list[float]) -> list[float]:
    """q_i is the smallest p_j m / rank_j over the p_j that are not below p_i."""
    ranked = sorted(p)
    return [
        min(1.0, min(q * len(p) / (rank + 1) for rank, q in enumerate(ranked) if q >= one))
        for one in p
    ]


def test_adjusted_p_values_are_those_of_benjamini_and_hochberg() -> None:
    p = [0.01, 0.04, 0.03, 0.2, 0.9, 0.04, 0.0005]
    assert adjust(p) == pytest.approx(brute_force(p))


def test_what_was_not_tested_is_no_part_of_a_correction() -> None:
    assert adjust([0.01, None, 0.04, float("nan")]) == [
        pytest.approx(0.02), None, pytest.approx(0.04), None,
    ]  # fmt: skip
    assert adjust([None, None]) == [None, None]
    assert adjust([]) == []


@pytest.mark.slow
def test_95_per_cent_intervals_contain_0_in_90_to_99_per_cent_of_comparisons_without_difference():
    inside = []
    for seed in range(200):
        predicted = simulate(seed, n_images=250, n_vertices=1)
        counts = draw_counts(250, ImageBootstrap(1000, seed=seed), "x")
        ours = bootstrap_vertices(predicted, counts)
        inside.append(ours.low[0] <= 0 <= ours.high[0])
    assert len(inside) == 200
    assert 0.90 <= np.mean(inside) <= 0.99


@pytest.mark.slow
def test_under_8_per_cent_of_the_discoveries_at_5_per_cent_are_false() -> None:
    shares, n_found = [], 0
    is_better = np.arange(200) < 40
    for seed in range(40):
        predicted = simulate(seed, 400, 200, gain=np.where(is_better, 1.0, 0.0))
        counts = draw_counts(400, ImageBootstrap(1000, seed=seed), "x")
        q = np.array(adjust(bootstrap_vertices(predicted, counts).p.tolist()), float)
        found = q <= 0.05
        n_found += int(found[is_better].sum())
        shares.append((found & ~is_better).sum() / max(found.sum(), 1))
    assert n_found > 0.3 * 40 * is_better.sum()
    assert np.mean(shares) < 0.08


@pytest.mark.slow
def test_without_any_difference_discoveries_are_rare() -> None:
    n_with = 0
    for seed in range(100):
        predicted = simulate(seed, 300, 100)
        counts = draw_counts(300, ImageBootstrap(1000, seed=seed), "x")
        q = np.array(adjust(bootstrap_vertices(predicted, counts).p.tolist()), float)
        n_with += bool((q <= 0.05).any())
    assert n_with < 0.08 * 100
