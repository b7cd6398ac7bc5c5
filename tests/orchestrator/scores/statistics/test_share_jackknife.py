"""What images do to an ROI's median share: against loops that leave them out, and coverage."""

import numpy as np
import pytest
import scipy.stats

from orchestrator.scores.statistics.image_jackknife import MeasuredResponses
from orchestrator.scores.statistics.share_jackknife import (
    median_share,
    near_median,
    share_errors,
)

N_IMAGES = 80


def shares(y: np.ndarray, predicted: np.ndarray, ceiling: np.ndarray) -> np.ndarray:
    columns = range(y.shape[1])
    r = np.array([np.corrcoef(y[:, k], predicted[:, k])[0, 1] for k in columns])
    return r * np.abs(r) / ceiling**2


def made_up(n_vertices: int, gain: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw responses, predictions of them, and ceilings between 0.5 and 0.9."""
    rng = np.random.default_rng(0)
    signal, noise, error = rng.standard_normal((3, N_IMAGES, n_vertices))
    return gain * signal + noise, signal + 0.4 * error, rng.uniform(0.5, 0.9, n_vertices)


@pytest.mark.parametrize("n_vertices", [1, 4, 5])
def test_between_distant_vertices_effects_are_those_of_leaving_each_image_out(
    n_vertices: int,
) -> None:
    """One vertex or two are in the middle without any image too: the median is smooth there."""
    y, predicted, _ = made_up(n_vertices, np.array([-3.0, 0.1, 0.9, 1.0, 6.0])[:n_vertices])
    ceiling = np.array([0.9, 0.9, 0.4, 0.3, 0.2])[:n_vertices]
    found, effects = median_share(
        MeasuredResponses(y), predicted, np.ones(n_vertices, bool), ceiling
    )
    everything = shares(y, predicted, ceiling)
    middle = np.sort(np.argsort(everything)[(n_vertices - 1) // 2 : n_vertices // 2 + 1])
    without = np.array(
        [
            np.median(shares(*(np.delete(one, k, axis=0) for one in (y, predicted)), ceiling))
            for k in range(N_IMAGES)
        ]
    )
    assert found == pytest.approx(np.median(everything), abs=1e-6)
    assert found == pytest.approx(everything[middle].mean(), abs=1e-6)
    expected = (without.mean() - without) * np.sqrt((N_IMAGES - 1) / N_IMAGES)
    np.testing.assert_allclose(effects, expected, atol=2e-6)


def test_among_many_vertices_effects_are_means_over_those_near_the_median() -> None:
    y, predicted, ceiling = made_up(150, np.linspace(0.2, 1.5, 150))
    vertices = np.arange(150) % 7 > 0  # in three chunks, some left out
    found, effects = median_share(MeasuredResponses(y), predicted, vertices, ceiling)
    some = (y[:, vertices], predicted[:, vertices], ceiling[vertices])
    everything = shares(*some)
    r = np.sqrt(np.abs(everything)) * some[2]
    errors = np.sqrt(4 * r**2 * (1 - r**2) ** 2 / 80 + 3 * (1 - r**2) ** 4 / 80**2) / some[2] ** 2
    near = np.abs(everything - found) <= 0.8862 * np.median(errors)
    assert 10 < near.sum() < 120
    without = np.array(
        [
            shares(np.delete(some[0], k, 0), np.delete(some[1], k, 0), some[2])[near].mean()
            for k in range(N_IMAGES)
        ]
    )
    expected = (without.mean() - without) * np.sqrt((N_IMAGES - 1) / N_IMAGES)
    np.testing.assert_allclose(effects, expected, atol=2e-6)


def test_the_standard_error_of_a_share_is_that_of_drawn_images() -> None:
    rng = np.random.default_rng(0)
    for r in (0.0, 0.1, 0.6):
        x = rng.standard_normal((200, 4000))
        y = r * x + np.sqrt(1 - r**2) * rng.standard_normal(x.shape)
        found = shares(y, x, np.full(4000, 0.8))
        (error,) = share_errors(np.array([r]), np.array([0.64]), 200)
        assert error == pytest.approx(found.std(), rel=0.1)


def test_equal_shares_have_equal_weights() -> None:
    np.testing.assert_array_equal(near_median(np.zeros(4), np.zeros(4)), np.full(4, 0.25))


@pytest.mark.parametrize("common", [0.0, 0.3, 1.0])
def test_equally_good_methods_differ_by_chance_in_five_per_cent(common: float) -> None:
    """common: share of the errors of prediction that all vertices have alike."""
    rng, n, n_vertices, n_draws = np.random.default_rng(1), 100, 40, 300
    gain, every = np.linspace(0.3, 1.2, n_vertices), np.ones(n_vertices, bool)
    t = scipy.stats.t.ppf(0.975, n - 1)
    covered = []
    for _ in range(n_draws):
        signal = rng.standard_normal((n, n_vertices))
        measured = MeasuredResponses(gain * signal + rng.standard_normal(signal.shape))
        (a, of_a), (b, of_b) = (
            median_share(
                measured,
                gain * signal
                + np.sqrt(common) * rng.standard_normal((n, 1))
                + np.sqrt(1 - common) * rng.standard_normal(signal.shape),
                every,
                np.full(n_vertices, 0.7),
            )
            for _ in range(2)
        )
        covered.append(abs(a - b) <= t * np.linalg.norm(of_a - of_b))
    assert 0.92 <= np.mean(covered) <= 0.98
