"""The interval of a mean over pairs of subjects: against a loop, a t interval and known truths."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import scipy.stats

from orchestrator.scores.statistics.pair_interval import PairDifference, pairs_uncertainty
from orchestrator.scores.statistics.roi_differences import Images, TrialScore, subtract

N_IMAGES = 5


def pair(
    model: frozenset[str],
    target: str,
    gain: float,
    effects: np.ndarray | None = None,
    seed: str | None = "0",
) -> PairDifference:
    """Make a pair with one ROI and at most one seed; its model is fine-tuned on some subjects."""
    numbers = np.arange(N_IMAGES)
    images = Images(numbers, np.zeros(N_IMAGES) if effects is None else effects)
    none = Images(numbers, np.zeros(N_IMAGES))
    tuned, untuned = TrialScore(seed, gain, images), TrialScore(None, 0.0, none)
    roi = subtract(("nsd", target), [tuned], [untuned], shares_training=True)
    return PairDifference(frozenset(("nsd", one) for one in model), (roi,))


def crossed(
    n: int, rng: np.random.Generator, sd: tuple[float, float, float]
) -> Iterator[PairDifference]:
    """Yield every pair of n subjects; gains vary with the model, the target and the pair, by sd."""
    models, targets = (rng.standard_normal(n) * size for size in sd[:2])
    for one, other in itertools.permutations(range(n), 2):
        gain = models[one] + targets[other] + sd[2] * rng.standard_normal()
        yield pair(frozenset({f"s{one}"}), f"s{other}", float(gain))


@pytest.mark.parametrize(
    ("n", "sd"), [(3, (1.0, 1.0, 0.5)), (4, (1.0, 0.2, 0.2)), (5, (0.2, 1.0, 0.2))]
)
def test_the_interval_holds_the_truth_whatever_varies(
    n: int, sd: tuple[float, float, float]
) -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        pairs = list(crossed(n, rng, sd))
        middle = np.mean([one.difference for one in pairs])
        held += abs(middle) <= pairs_uncertainty(pairs).half_width
    assert 0.93 <= held / 400 <= 0.98


def test_a_subject_is_left_out_with_all_its_pairs() -> None:
    pairs = list(crossed(5, np.random.default_rng(1), (1.0, 1.0, 1.0)))
    found = pairs_uncertainty(pairs)
    means = []
    for number in range(5):
        left = [
            one.difference
            for one in pairs
            if one.scored[1] != f"s{number}" and ("nsd", f"s{number}") not in one.finetuned_on
        ]
        means.append(np.mean(left))
    error = np.sqrt(4 / 5 * np.sum((means - np.mean(means)) ** 2))
    assert found.half_width == pytest.approx(scipy.stats.t.ppf(0.975, 4) * error)
    assert found.covers_subjects
    assert found.covers_seeds, "models of one seed each, of subjects that vary"


def test_one_model_on_several_subjects_has_their_t_interval_and_covers_no_other_seed() -> None:
    gains = [0.1, 0.3, 0.25, 0.2]
    for model in (frozenset({"other"}), frozenset({"s0", "s1"})):
        found = pairs_uncertainty([pair(model, f"s{k}", g) for k, g in enumerate(gains)])
        expected = scipy.stats.ttest_1samp(gains, 0.0).confidence_interval(0.95)
        assert 2 * found.half_width == pytest.approx(expected.high - expected.low)
        assert (found.covers_subjects, found.covers_seeds) == (True, False)


def test_methods_without_a_seed_have_none_to_cover() -> None:
    gains = enumerate((0.1, 0.3, 0.25))
    pairs = [pair(frozenset({"other"}), f"s{k}", gain, seed=None) for k, gain in gains]
    assert pairs_uncertainty(pairs).covers_seeds is None


def test_a_subject_that_is_in_all_pairs_is_not_left_out_and_targets_have_their_t_interval() -> None:
    places = (("s0", "s1"), ("s0", "s2"), ("s1", "s0"))
    gains = [0.1, 0.3, 0.25]
    pairs = [
        pair(frozenset({one}), other, gain)
        for (one, other), gain in zip(places, gains, strict=True)
    ]
    expected = scipy.stats.ttest_1samp(gains, 0.0).confidence_interval(0.95)
    half = (expected.high - expected.low) / 2
    assert pairs_uncertainty(pairs).half_width == pytest.approx(half)


@pytest.mark.parametrize("models", [("s0", "s1"), ("other", "other")])
def test_two_subjects_are_taken_as_they_are(models: tuple[str, str]) -> None:
    effects = np.array([0.1, -0.1, 0.05, 0.0, -0.05])
    pairs = [
        pair(frozenset({models[0]}), "s1", 0.3, effects),
        pair(frozenset({models[1]}), "s0", 0.1, effects),
    ]
    found = pairs_uncertainty(pairs)
    half = scipy.stats.t.ppf(0.975, N_IMAGES - 1) * np.sqrt(effects @ effects)
    assert found.half_width == pytest.approx(half), "both see the same images"
    assert (found.covers_subjects, found.covers_seeds) == (False, False)


def test_images_that_targets_share_are_added() -> None:
    effects = np.array([0.2, -0.2, 0.1, 0.0, -0.1])
    plain = list(crossed(4, np.random.default_rng(2), (1.0, 1.0, 1.0)))
    shared = [
        pair(
            frozenset(name for _, name in one.finetuned_on), one.scored[1], one.difference, effects
        )
        for one in plain
    ]
    t_images, own = scipy.stats.t.ppf(0.975, N_IMAGES - 1), pairs_uncertainty(plain).half_width
    variance = (effects @ effects) * (1 - 1 / 4) * 4 / 3
    expected = np.sqrt(own**2 + t_images**2 * variance)
    assert pairs_uncertainty(shared).half_width == pytest.approx(expected)
