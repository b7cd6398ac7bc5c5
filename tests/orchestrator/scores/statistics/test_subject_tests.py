"""Tests over subjects: against SciPy and brute force, and nothing where there are too few."""

from itertools import product

import numpy as np
import pytest
import scipy.stats

from orchestrator.scores.statistics.subject_tests import (
    FLIPS,
    SubjectBootstrap,
    SubjectTest,
    compare_over_subjects,
    paired_t,
    sign_flip,
    subject_interval,
)
from tests.builders.made_up_pairs import made_up

DRAW = SubjectBootstrap(n_draws=2000)


def differences(n: int, seed: int = 0, mean: float = 0.03) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.03, n)


def subjects(n: int, *rois: str) -> list[tuple[str, str]]:
    return [(f"subj{number + 1:02d}", roi) for number in range(n) for roi in rois]


def flipped(values: np.ndarray) -> float:
    """Try every flip: the share whose mean is at least as far from 0."""
    means = [np.mean(np.array(signs) * values) for signs in product((1, -1), repeat=len(values))]
    return float(np.mean(np.abs(means) >= abs(values.mean()) - 1e-12))


@pytest.mark.parametrize("n", [2, 3, 8, 12])
@pytest.mark.parametrize("mean", [0.0, 0.03])
def test_a_sign_flip_test_tries_every_flip(n, mean) -> None:
    values = differences(n, seed=n, mean=mean)
    assert sign_flip(values) == pytest.approx(flipped(values))


def test_the_smallest_p_of_eight_subjects_is_2_of_256() -> None:
    assert sign_flip(np.linspace(0.01, 0.02, 8)) == pytest.approx(2 / 256)


def test_flips_of_many_subjects_are_drawn_with_a_seed() -> None:
    values = differences(14, mean=0.01)
    assert FLIPS < 2**14
    assert sign_flip(values, seed=1) == sign_flip(values, seed=1)
    assert sign_flip(values) == pytest.approx(flipped(values), abs=0.02)
    assert sign_flip(np.linspace(1, 2, 20)) > 0


def test_a_paired_t_is_scipy_s() -> None:
    a, b = np.random.default_rng(0).normal(0.4, 0.05, (2, 8))
    assert paired_t(a - b) == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue)


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.1], [0.0, 0.0, 0.0]])
def test_there_is_no_t_without_variance(values) -> None:
    assert paired_t(np.array(values)) is None


def test_one_subject_has_no_test_and_two_have_no_interval() -> None:
    assert sign_flip(np.array([0.1])) is None
    assert subject_interval([0.5, 0.7], DRAW) is None
    assert subject_interval([0.5, 0.7, 0.9], DRAW) is not None


def test_the_interval_over_subjects_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).uniform(0.4, 0.9, 8)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    ours = subject_interval(values, SubjectBootstrap(20_000))
    assert ours == pytest.approx(tuple(theirs), abs=0.03 * (theirs.high - theirs.low))


def test_a_subject_s_number_is_the_mean_over_its_rois_however_large() -> None:
    """Subject 1: V1v +0.2 everywhere, hV4 −0.1; subject 2: V1v only, +0.1."""
    a = np.array([[0.6, 0.6, 0.6, 0.6], [0.3, 0.3, 0.3, 0.3], [0.5, 0.5, 0.5, 0.2]])
    b = np.full((3, 4), 0.4)
    places = (("subj01", "V1v"), ("subj01", "hV4"), ("subj02", "V1v"))
    (early,) = compare_over_subjects(made_up(*places, a=a, b=b), "group", DRAW)
    own = [(0.2 - 0.1) / 2, (0.1 * 3 - 0.2) / 4]
    assert early.n_subjects == 2
    assert early.difference == pytest.approx(np.mean(own))
    assert early.share_improved == pytest.approx(np.mean([(1 + 0) / 2, 0.75]))
    assert early.share_interval is None
    assert early.t_p == pytest.approx(scipy.stats.ttest_1samp(own, 0).pvalue)
    assert early.flip_p == pytest.approx(flipped(np.array(own)))


def compared(n: int, *rois: str, seed: int = 0) -> list[SubjectTest]:
    places = subjects(n, *rois)
    a, b = np.random.default_rng(seed).normal(0.4, 0.1, (2, len(places), 20))
    return compare_over_subjects(made_up(*places, a=a + 0.03, b=b), "roi", DRAW)


def test_p_values_are_corrected_over_the_rois_and_totals_are_left_out() -> None:
    tests = compared(6, "V1v", "hV4", "EBA")
    parts = [one for one in tests if not one.row.is_total]
    assert [one.row.label for one in parts] == ["V1v", "hV4", "EBA"]
    for name in ("t", "flip"):
        p, q = ([getattr(one, f"{name}_{kind}") for one in parts] for kind in "pq")
        assert q == pytest.approx(scipy.stats.false_discovery_control(p).tolist())
    totals = [one for one in tests if one.row.is_total]
    assert [one.row.label for one in totals] == ["all early", "all"]
    assert all(one.t_p is not None and one.t_q is None for one in totals)


def test_overlapping_groups_are_families_of_their_own() -> None:
    """Streams, areas of an atlas and whole hemispheres change no q of the ROIs that they hold."""
    families = (
        ("V1v", "hV4", "EBA"),
        ("ventral", "lateral"),
        ("HCP_MMP1-V1", "nsdgeneral"),
        ("all",),
    )
    tests = compared(6, *(name for family in families for name in family))
    found = {one.row.label.replace("whole", "all"): one for one in tests if not one.row.is_total}
    for family in families:
        for name in ("t", "flip"):
            p, q = ([getattr(found[roi], f"{name}_{kind}") for roi in family] for kind in "pq")
            assert q == pytest.approx(scipy.stats.false_discovery_control(p).tolist())


def test_a_single_subject_has_differences_and_no_tests() -> None:
    for one in compared(1, "V1v", "hV4"):
        assert (one.t_p, one.flip_p, one.t_q, one.flip_q, one.share_interval) == (None,) * 5
        assert one.n_subjects == 1


def test_an_roi_that_few_subjects_have_is_tested_over_those() -> None:
    places = (*subjects(4, "V1v"), ("subj01", "hV4"))
    a, b = np.random.default_rng(1).normal(0.4, 0.1, (2, 5, 10))
    tests = compare_over_subjects(made_up(*places, a=a, b=b), "roi", DRAW)
    v1, v4 = tests[:2]
    assert (v1.n_subjects, v4.n_subjects) == (4, 1)
    assert v4.t_q is None
    assert v1.t_q == pytest.approx(v1.t_p)  # a family of one


def test_no_pairs_make_no_tests() -> None:
    pairs = made_up(("subj01", "V1v"), a=np.empty((1, 0)), b=np.empty((1, 0)))
    assert compare_over_subjects(pairs, "group", DRAW) == []
