"""The jackknife over test images: against loops that leave images out or draw them again."""

import numpy as np
import pytest

from orchestrator.scores.statistics import image_jackknife
from orchestrator.scores.statistics.image_jackknife import MeasuredResponses

N_IMAGES, N_VERTICES = 90, 7
EVERY = np.ones(N_VERTICES, bool)


@pytest.fixture(scope="module")
def responses() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measured responses, and two predictions whose errors all vertices share."""
    rng = np.random.default_rng(0)
    signal, noise = rng.standard_normal((2, N_IMAGES, N_VERTICES))
    shared = rng.standard_normal((2, N_IMAGES, 1))
    return 3 + signal + noise, signal + 0.8 * shared[0], 5 - 2 * (signal + 0.5 * shared[1])


def mean_r(y: np.ndarray, predicted: np.ndarray, vertices: np.ndarray = EVERY) -> float:
    centred = [one[:, vertices] - one[:, vertices].mean(axis=0) for one in (y, predicted)]
    norms = [np.sqrt(np.sum(one**2, axis=0)) for one in centred]
    # as np.corrcoef, of all columns at once
    return float(np.mean(np.sum(centred[0] * centred[1], axis=0) / (norms[0] * norms[1])))


def effects_by_a_loop(y: np.ndarray, p: np.ndarray, vertices: np.ndarray = EVERY) -> np.ndarray:
    kept = [np.arange(N_IMAGES) != image for image in range(N_IMAGES)]
    without = np.array([mean_r(y[rows], p[rows], vertices) for rows in kept])
    return (without.mean() - without) * np.sqrt((N_IMAGES - 1) / N_IMAGES)


@pytest.mark.parametrize("chunk", [64, 3])
def test_effects_are_those_of_leaving_each_image_out(
    chunk: int,
    responses: tuple[np.ndarray, np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_jackknife, "CHUNK", chunk)
    y, *predictions = responses
    some = np.array([True, False, True, True, False, True, False])
    for predicted in predictions:
        for vertices in (EVERY, some):
            r, ours = MeasuredResponses(y).mean_r(predicted, vertices)
            assert r == pytest.approx(mean_r(y, predicted, vertices), abs=1e-6)
            np.testing.assert_allclose(ours, effects_by_a_loop(y, predicted, vertices), atol=2e-7)


def test_the_variance_of_a_difference_is_that_of_drawn_images(
    responses: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    y, a, b = responses
    measured = MeasuredResponses(y)
    effects = measured.mean_r(a, EVERY)[1] - measured.mean_r(b, EVERY)[1]
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(1500):
        rows = rng.integers(N_IMAGES, size=N_IMAGES)
        drawn.append(mean_r(y[rows], a[rows]) - mean_r(y[rows], b[rows]))
    assert np.sqrt(effects @ effects) == pytest.approx(np.std(drawn), rel=0.08)


def test_half_precision_predictions_cost_little(
    responses: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    y, predicted, _ = responses
    measured = MeasuredResponses(y)
    _, whole = measured.mean_r(predicted, EVERY)
    _, half = measured.mean_r(predicted.astype(np.float16), EVERY)
    np.testing.assert_allclose(half, whole, atol=1e-5)


def test_a_vertex_that_is_constant_without_an_image_keeps_its_r_there(
    responses: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    y, predicted, _ = (one.copy() for one in responses)
    y[:, 0] = 0
    y[4, 0] = 1
    only_first = np.array([True, *[False] * 6])
    _, effects = MeasuredResponses(y).mean_r(predicted, only_first)
    assert np.isfinite(effects).all()
    r = np.corrcoef(y[:, 0], predicted[:, 0])[0, 1]
    without = r - effects / np.sqrt((N_IMAGES - 1) / N_IMAGES)
    others = [
        np.corrcoef(np.delete(y[:, 0], k), np.delete(predicted[:, 0], k))[0, 1] for k in range(3)
    ]
    np.testing.assert_allclose(np.diff(without[:3]), np.diff(others), atol=1e-6)
    np.testing.assert_allclose(without[4] - without[0], r - others[0], atol=1e-6)
