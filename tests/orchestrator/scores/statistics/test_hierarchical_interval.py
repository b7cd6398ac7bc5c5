"""The interval over subjects, seeds and images: against SciPy and closed forms, level by level."""

import numpy as np
import pytest
import scipy.stats

from orchestrator.scores.statistics.hierarchical_interval import mean_uncertainty
from orchestrator.scores.statistics.roi_differences import (
    Images,
    RoiDifference,
    TrialScore,
    subtract,
    sum_images,
)

N_IMAGES = 50


def trial(
    seed: str | None, r: float, effects: np.ndarray | None = None, first: int = 0
) -> TrialScore:
    """Score a trial on images numbered from ``first`` on."""
    effect = np.zeros(N_IMAGES) if effects is None else effects
    return TrialScore(seed, r, Images(np.arange(first, first + len(effect)), effect))


def roi(subject: str, a: list[TrialScore], b: list[TrialScore], **pooled: bool) -> RoiDifference:
    return subtract(("nsd", subject), a, b, **pooled)


def effects(seed: int, scale: float = 0.01) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal(N_IMAGES) * scale
    return drawn - drawn.mean()


def t(freedom: float) -> float:
    return float(scipy.stats.t.ppf(0.975, freedom))


def test_one_subject_and_seed_has_the_interval_over_images() -> None:
    e, f = effects(0), effects(1)
    one = roi("1", [trial("0", 0.5, e)], [trial(None, 0.4, f)])
    assert one.difference == pytest.approx(0.1)
    found = mean_uncertainty([one], [1.0])
    expected = t(N_IMAGES - 1) * np.sqrt(np.sum((e - f) ** 2))
    assert found.half_width == pytest.approx(expected)
    assert not found.covers_subjects
    assert found.covers_seeds is False


def test_methods_without_a_seed_have_none_to_cover() -> None:
    one = roi("1", [trial(None, 0.5, effects(0))], [trial(None, 0.4)])
    assert mean_uncertainty([one], [1.0]).covers_seeds is None


def test_rois_of_a_subject_share_the_error_of_an_image() -> None:
    e = effects(0)
    two = [roi("1", [trial("0", 0.5, sign * e)], [trial(None, 0.4)]) for sign in (1, 1)]
    opposed = [roi("1", [trial("0", 0.5, sign * e)], [trial(None, 0.4)]) for sign in (1, -1)]
    alone = mean_uncertainty(two[:1], [1.0]).half_width
    assert mean_uncertainty(two, [0.5, 0.5]).half_width == pytest.approx(alone)
    assert mean_uncertainty(opposed, [0.5, 0.5]).half_width == 0


def test_seeds_of_one_subject_have_the_t_interval_of_their_differences() -> None:
    a, b = [0.50, 0.53, 0.49, 0.52], [0.41, 0.40, 0.44, 0.40]
    one = roi(
        "1",
        [trial(str(k), r) for k, r in enumerate(a)],
        [trial(str(k), r) for k, r in enumerate(b)],
    )
    found = mean_uncertainty([one], [1.0])
    low, high = scipy.stats.ttest_rel(a, b).confidence_interval(0.95)
    assert one.difference == pytest.approx(np.mean(np.subtract(a, b)))
    assert found.half_width == pytest.approx((high - low) / 2)
    assert found.covers_seeds is True


def test_the_error_of_images_that_seeds_do_not_share_counts_once() -> None:
    """Each seed errs on images of its own: all of it shows in the spread of the seeds."""
    own = [effects(k) for k in range(3)]
    own = [e - np.mean(own, axis=0) for e in own]  # nothing in common
    scores = [trial(str(k), 0.5 + 0.01 * k, e) for k, e in enumerate(own)]
    found = mean_uncertainty([roi("1", scores, [trial(None, 0.4)])], [1.0])
    assert found.half_width == pytest.approx(t(2) * 0.01 / np.sqrt(3))


@pytest.mark.parametrize("r", [(0.50, 0.53), (0.50, 0.51, 0.52)])
def test_the_error_of_images_is_split_into_what_seeds_share_and_what_they_do_not(
    r: tuple[float, ...],
) -> None:
    n = len(r)
    own = [effects(k, 0.003) for k in range(n)]
    own = [e - np.mean(own, axis=0) for e in own]
    common = effects(9)
    scores = [trial(str(k), one, common + e) for k, (one, e) in enumerate(zip(r, own, strict=True))]
    found = mean_uncertainty([roi("1", scores, [trial(None, 0.4)])], [1.0])
    images = common @ common - sum(e @ e for e in own) / (n * (n - 1))
    seeds = np.var(r, ddof=1) / n
    expected = np.sqrt(t(N_IMAGES - 1) ** 2 * images + t(n - 1) ** 2 * seeds)
    assert found.half_width == pytest.approx(expected)


def test_variances_of_images_and_seeds_add_up_each_with_its_t() -> None:
    e = effects(0)
    scores = [trial(str(k), r, e) for k, r in enumerate((0.50, 0.53, 0.49))]
    found = mean_uncertainty([roi("1", scores, [trial(None, 0.4)])], [1.0])
    images, seeds = e @ e, np.var((0.50, 0.53, 0.49), ddof=1) / 3
    expected = np.sqrt(t(N_IMAGES - 1) ** 2 * images + t(2) ** 2 * seeds)
    assert found.half_width == pytest.approx(expected)


def test_a_seed_may_act_alike_in_all_rois() -> None:
    def of_seeds(*r: float) -> RoiDifference:
        return roi("1", [trial(str(k), one) for k, one in enumerate(r)], [trial(None, 0.4)])

    alone = mean_uncertainty([of_seeds(0.5, 0.6)], [1.0]).half_width
    alike = mean_uncertainty([of_seeds(0.5, 0.6), of_seeds(0.3, 0.4)], [0.5, 0.5])
    against = mean_uncertainty([of_seeds(0.5, 0.6), of_seeds(0.4, 0.3)], [0.5, 0.5])
    assert alike.half_width == pytest.approx(alone)
    assert against.half_width == pytest.approx(0)


def test_an_roi_with_one_seed_leaves_seeds_uncovered() -> None:
    one = roi("1", [trial("0", 0.5), trial("1", 0.6)], [trial(None, 0.4)])
    other = roi("1", [trial("0", 0.5)], [trial(None, 0.4)])
    both = roi("1", [trial("0", 0.5), trial("1", 0.6)], [trial("0", 0.4)])
    assert mean_uncertainty([one], [1.0]).covers_seeds is True
    assert mean_uncertainty([one, other], [0.5, 0.5]).covers_seeds is False
    assert mean_uncertainty([both], [1.0]).covers_seeds is False


DIFFERENCES = [0.02, 0.05, -0.01, 0.04]


def test_subjects_with_their_own_images_have_the_t_interval_of_their_means() -> None:
    rois, weights = [], []
    for subject, difference in enumerate(DIFFERENCES):
        n = 1 + subject % 2  # subjects with one ROI, and with two
        for number in range(n):
            e, shift = effects(subject), 0.01 * (number if n > 1 else 0.5)
            score = trial("0", 0.395 + difference + shift, e, first=100 * subject)
            rois.append(roi(str(subject), [score], [trial(None, 0.4, first=100 * subject)]))
            weights.append(1 / (n * len(DIFFERENCES)))
    found = mean_uncertainty(rois, weights)
    low, high = scipy.stats.ttest_1samp(DIFFERENCES, 0).confidence_interval(0.95)
    assert found.half_width == pytest.approx((high - low) / 2)
    assert found.covers_subjects
    assert found.covers_seeds is True  # another seed in each subject


def test_two_subjects_are_taken_as_they_are() -> None:
    rois = [
        roi(str(k), [trial("0", d, effects(k), 100 * k)], [trial(None, 0.0, first=100 * k)])
        for k, d in enumerate(DIFFERENCES[:2])
    ]
    found = mean_uncertainty(rois, [0.5, 0.5])
    variance = sum(effects(k) @ effects(k) / 4 for k in range(2))
    assert not found.covers_subjects
    assert found.half_width == pytest.approx(t(2 * N_IMAGES - 1) * np.sqrt(variance))


def test_the_error_of_images_that_subjects_share_is_added() -> None:
    """All saw the same images: their common error does not show between subjects."""
    e = effects(0)
    rois = [roi(str(k), [trial("0", d, e)], [trial(None, 0.0)]) for k, d in enumerate(DIFFERENCES)]
    found = mean_uncertainty(rois, [0.25] * 4)
    between, images = np.var(DIFFERENCES, ddof=1) / 4, e @ e
    expected = np.sqrt(t(3) ** 2 * between + t(N_IMAGES - 1) ** 2 * images)
    assert found.half_width == pytest.approx(expected)


def test_the_seeds_of_a_pooled_model_are_shared_by_its_subjects() -> None:
    def rois(n_seeds: int, **pooled: bool) -> list[RoiDifference]:
        shifts = np.linspace(-0.03, 0.03, n_seeds) if n_seeds > 1 else [0.0]
        return [
            roi(
                str(k),
                [trial(str(s), 0.4 + d + shift) for s, shift in enumerate(shifts)],
                [trial(None, 0.4)],
                **pooled,
            )
            for k, d in enumerate(DIFFERENCES)
        ]

    weights = [0.25] * 4
    own = mean_uncertainty(rois(3), weights)
    between = np.var(DIFFERENCES, ddof=1) / 4
    assert own.half_width == pytest.approx(t(3) * np.sqrt(between))
    shared = mean_uncertainty(rois(3, shares_training=True), weights)
    seeds = 0.03**2 / 3
    expected = np.sqrt(t(3) ** 2 * between + t(2) ** 2 * seeds)
    assert shared.half_width == pytest.approx(expected)
    assert shared.covers_seeds is True
    two = mean_uncertainty(rois(2, shares_training=True), weights)
    expected = np.sqrt(t(3) ** 2 * between + t(1) ** 2 * 0.03**2)
    assert two.half_width == pytest.approx(expected)
    assert mean_uncertainty(rois(1, shares_training=True), weights).covers_seeds is False
    assert mean_uncertainty(rois(1), weights).covers_seeds is True


def test_rows_that_show_the_same_image_are_one_image() -> None:
    images = Images.of_rows(np.array([7, 3, 7]), np.array([0.1, 0.2, 0.3]))
    assert images.number.tolist() == [3, 7]
    np.testing.assert_allclose(images.effect, [0.2, 0.4])


def test_images_of_two_sets_add_up_where_they_are_the_same() -> None:
    one, other = Images(np.array([1, 2]), np.ones(2)), Images(np.array([2, 5]), np.ones(2))
    both = sum_images([(one, 2.0), (other, -3.0)])
    assert both.number.tolist() == [1, 2, 5]
    np.testing.assert_allclose(both.effect, [2, -1, -3])


def test_no_difference_anywhere_has_no_width() -> None:
    one = roi("1", [trial("0", 0.5)], [trial(None, 0.5)])
    assert mean_uncertainty([one], [1.0]).half_width == 0
