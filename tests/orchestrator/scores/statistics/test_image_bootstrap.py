"""The bootstrap of an ROI over test images: against a slow loop over resampled images."""

import numpy as np

from orchestrator.scores.statistics.image_bootstrap import (
    ImageBootstrap,
    Predicted,
    draw_counts,
    draw_mean_differences,
    standardise,
)
from tests.builders.simulated_predictions import simulate

DRAW = ImageBootstrap(n_draws=200)


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
    slow = slow_draws(predicted, counts).mean(axis=1)
    np.testing.assert_allclose(draw_mean_differences(predicted, counts), slow, atol=5e-6)


def test_scale_mean_and_half_precision_of_predictions_change_nothing_that_is_shown() -> None:
    plain, counts = simulate(3), draw_counts(120, DRAW, "x")
    scaled = Predicted(
        1e4 * plain.measured + 1e6,
        standardise(plain.a).astype(np.float16),
        standardise(plain.b).astype(np.float16),
    )
    one, other = (draw_mean_differences(each, counts) for each in (plain, scaled))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_chunks_of_vertices_do_not_change_the_draws(monkeypatch) -> None:
    predicted, counts = simulate(4, n_vertices=11), draw_counts(120, DRAW, "x")
    whole = draw_mean_differences(predicted, counts)
    monkeypatch.setattr("orchestrator.scores.statistics.image_bootstrap.CHUNK", 3)
    np.testing.assert_allclose(draw_mean_differences(predicted, counts), whole, atol=1e-6)


def test_both_methods_are_measured_on_the_same_images_in_every_draw() -> None:
    """b ranks images as a does, so r is equal in each draw, unless the draws differ."""
    predicted, counts = simulate(10), draw_counts(120, DRAW, "x")
    alike = Predicted(predicted.measured, predicted.a, 3.0 * predicted.a + 2.0)
    np.testing.assert_allclose(draw_mean_differences(alike, counts), 0, atol=1e-6)
    apart = draw_mean_differences(predicted, counts[::-1])
    np.testing.assert_array_equal(apart[::-1], draw_mean_differences(predicted, counts))


def test_the_mean_of_a_draw_leaves_out_vertices_without_an_r_in_it() -> None:
    predicted = simulate(9, n_images=40, n_vertices=2)
    predicted.measured[:, 0] = 0.0
    predicted.measured[0, 0] = 1.0  # constant in a draw without image 0: about 37 % of them
    counts = draw_counts(40, DRAW, "x")
    kept = counts[:, 0] > 0
    assert 0.2 < np.mean(~kept) < 0.5
    both = draw_mean_differences(predicted, counts)
    alone = [
        draw_mean_differences(
            Predicted(predicted.measured[:, [k]], predicted.a[:, [k]], predicted.b[:, [k]]), counts
        )
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
    assert 0.9 < counts.var() < 1.05
