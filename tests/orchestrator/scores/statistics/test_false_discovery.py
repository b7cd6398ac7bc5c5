"""Correction for multiple comparisons: against its definition and SciPy, and how much it finds."""

import numpy as np
import pytest
import scipy.stats

from orchestrator.scores.statistics.false_discovery import adjust, adjust_families
from orchestrator.scores.statistics.vertex_tests import Predicted, compare_vertices
from tests.builders.simulated_predictions import simulate


def brute_force(p: list[float]) -> list[float]:
    """q_i is the smallest p_j m / rank_j over the p_j that are not below p_i."""
    ranked = sorted(p)
    return [
        min(1.0, min(q * len(p) / (rank + 1) for rank, q in enumerate(ranked) if q >= one))
        for one in p
    ]


def corrected(p: np.ndarray) -> np.ndarray:
    return np.array(adjust(p.tolist()), np.float64)


def test_adjusted_p_values_are_those_of_benjamini_and_hochberg() -> None:
    p = [0.01, 0.04, 0.03, 0.2, 0.9, 0.04, 0.0005]
    assert adjust(p) == pytest.approx(brute_force(p))
    assert adjust(p) == pytest.approx(list(scipy.stats.false_discovery_control(p)))


def test_what_was_not_tested_is_no_part_of_a_correction() -> None:
    assert adjust([0.01, None, 0.04, float("nan")]) == [
        pytest.approx(0.02), None, pytest.approx(0.04), None,
    ]  # fmt: skip
    assert adjust([None, None]) == [None, None]
    assert adjust([]) == []


def test_each_family_is_corrected_alone() -> None:
    p, families = [0.01, 0.04, None, 0.03, 0.5, 0.02], ["a", "b", "a", "b", "a", "c"]
    expected: list[float | None] = [None] * 6
    for family in ([0, 4], [1, 3], [5]):
        for place, q in zip(family, brute_force([p[k] for k in family]), strict=True):
            expected[place] = pytest.approx(q)
    assert adjust_families(p, families) == expected


def test_a_large_difference_in_one_vertex_of_ten_thousand_is_found() -> None:
    """Of a subject's 10,000 vertices: a p-value of 1,000 draws is at least 0.002, and q 1."""
    rng = np.random.default_rng(0)
    measured = rng.standard_normal((200, 10_000)).astype(np.float32)
    a, b = rng.standard_normal((2, 200, 10_000)).astype(np.float32)
    better = np.arange(10_000) % 2_500 == 0
    a[:, better] = measured[:, better] + 0.45 * a[:, better]
    q = corrected(compare_vertices(Predicted(measured, a, b)).p)
    assert (q[better] <= 1e-6).all()
    assert (q[~better] <= 0.05).sum() <= 1


def test_a_gain_of_0_9_is_found_at_any_share_of_the_vertices() -> None:
    p = np.concatenate([compare_vertices(_gain_of_0_9()).p, np.linspace(0.001, 1, 39_000)])
    for n_others in (100, 1_000, 39_000):
        assert corrected(p[: 1 + n_others])[0] <= 0.05


def _gain_of_0_9() -> Predicted:
    rng = np.random.default_rng(1)
    measured, noise, other = rng.standard_normal((3, 300, 1))
    return Predicted(measured, measured + 0.45 * noise, other)


@pytest.mark.slow
def test_under_6_per_cent_of_the_discoveries_at_5_per_cent_are_false() -> None:
    shares, n_found = [], 0
    is_better = np.arange(200) < 40
    for seed in range(50):
        predicted = simulate(seed, 400, 200, gain=np.where(is_better, 1.0, 0.0))
        found = corrected(compare_vertices(predicted).p) <= 0.05
        n_found += int(found[is_better].sum())
        shares.append((found & ~is_better).sum() / max(found.sum(), 1))
    assert n_found > 0.9 * 50 * is_better.sum()
    assert 0.02 < np.mean(shares) < 0.06


@pytest.mark.slow
def test_without_any_difference_discoveries_are_rare() -> None:
    p = [compare_vertices(simulate(seed, 300, 100)).p for seed in range(150)]
    assert np.mean([(corrected(one) <= 0.05).any() for one in p]) < 0.08
