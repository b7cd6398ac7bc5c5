"""The mean over pairs of a model and a subject, of entries made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from orchestrator.scores.rows import Row
from orchestrator.scores.statistics.pair_interval import PairDifference, pairs_uncertainty
from orchestrator.scores.statistics.roi_differences import Images, TrialScore, subtract
from orchestrator.scores.statistics.transfer_means import mean_transfer
from orchestrator.scores.statistics.transfers import Entry, Transfers

ROW = Row("early", ("nsd-subj02-lh-V1v",))


def pair(model: str, target: str, seed: int) -> PairDifference:
    effect = np.random.default_rng(seed).standard_normal(30) / 100
    scores = [TrialScore("0", 0.5, Images(np.arange(30), effect))]
    untuned = [TrialScore(None, 0.4, Images(np.arange(30), np.zeros(30)))]
    return PairDifference(
        frozenset({("nsd", model)}), (subtract(("nsd", target), scores, untuned),)
    )


def entry(mean: float | None, untuned: float | None, **others: object) -> Entry:
    given = {"own": None, "better": 0.5, "n_rois": 1, "n_unpaired": 0, "is_own": False, **others}
    return Entry(mean, untuned, **given)


def transfers(*entries: Entry) -> Transfers:
    places = {(f"subj0{number}", "subj09"): one for number, one in enumerate(entries)}
    return Transfers("transfer-contrastive", ROW, ("subj01",), ("subj09",), places)


FIRST = entry(0.5, 0.4, better=0.6, difference=pair("subj01", "subj02", 0))
SECOND = entry(0.3, 0.25, better=0.9, difference=pair("subj02", "subj01", 1))


def test_pairs_of_two_subjects_with_untuned_scores_are_averaged() -> None:
    own = replace(FIRST, is_own=True, mean=0.9)
    found = mean_transfer(transfers(FIRST, own, entry(0.7, None, better=None), SECOND))
    assert found is not None
    assert (found.method, found.row, found.n_pairs) == ("transfer-contrastive", ROW, 2)
    assert found.mean == pytest.approx(0.4)
    assert found.untuned == pytest.approx(0.325)
    assert found.better == pytest.approx(0.75)
    assert found.gain == pytest.approx(0.075)
    half = pairs_uncertainty([FIRST.difference, SECOND.difference]).half_width
    assert half > 0
    assert found.interval == pytest.approx((0.075 - half, 0.075 + half))


def test_a_pair_without_predictions_leaves_the_mean_without_an_interval() -> None:
    found = mean_transfer(transfers(FIRST, replace(SECOND, difference=None)))
    assert found is not None
    assert (found.n_pairs, found.uncertainty, found.interval) == (2, None, None)


def test_without_a_pair_there_is_no_mean() -> None:
    own = replace(FIRST, is_own=True)
    assert mean_transfer(transfers(own, entry(0.7, None, better=None))) is None
    assert mean_transfer(transfers(entry(None, 0.4, better=None))) is None
