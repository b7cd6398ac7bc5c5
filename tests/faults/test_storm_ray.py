"""A sweep whose processes are killed and stopped one after another loses nothing."""

from pathlib import Path

import pytest

from tests.builders.sweep_process import Lab, scores_of
from tests.faults.storm import QUICK, one_of_each_layer, storms

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]


def test_faults_of_every_layer_lose_nothing_do_nothing_twice_and_leave_nothing_behind(
    sweep_lab: Lab, undisturbed: Path
) -> None:
    passed = []
    for storm in storms(sweep_lab, one_of_each_layer(), seed=1, pace=QUICK):
        assert scores_of(storm.out).equals(scores_of(undisturbed))
        passed.append(storm)
    assert sum(len(storm.records) for storm in passed) == len(one_of_each_layer())
    assert [one for storm in passed for one in storm.left_behind()] == []
