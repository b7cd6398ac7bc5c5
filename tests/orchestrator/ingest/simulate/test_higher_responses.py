"""Signals of higher ROIs: what they say of a scene."""

from collections.abc import Sequence

import numpy as np
import pytest

from orchestrator.ingest.simulate.higher_responses import describe, higher_signals
from orchestrator.ingest.simulate.scenes import CLASSES, Scene, compose


@pytest.fixture(scope="module")
def scenes() -> Sequence[Scene]:
    return [compose(0, k) for k in range(250)]


def test_category_rois_respond_more_to_their_own_outline(scenes: Sequence[Scene]) -> None:
    signal = higher_signals(scenes, "FFA-1", 40, np.random.default_rng(0)).mean(axis=1)
    is_round = np.array([CLASSES[s.main.label].startswith("round") for s in scenes])
    assert signal[is_round].mean() > signal[~is_round].mean() + signal.std() / 2


def test_descriptions_have_mean_0_and_variance_1(scenes: Sequence[Scene]) -> None:
    for values in describe(scenes):
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(values.std(axis=0), 1)
