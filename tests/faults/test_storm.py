"""A dozen faults and more, one after another, and the scores of an undisturbed sweep to the bit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.faults import FAULTS
from tests.faults.storm import schedule, storms
from tests.sweep_process import Lab, scores_of

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab.make(tmp_path, epochs=30)
    yield lab
    lab.end()


def test_nothing_is_lost_done_twice_or_left_behind(lab: Lab) -> None:
    undisturbed = lab.home / "undisturbed"
    lab.finish(undisturbed)
    n_injected = 0
    for storm in storms(lab, schedule(len(FAULTS), seed=0), seed=0):
        assert scores_of(storm.out).equals(scores_of(undisturbed))
        assert storm.left_behind() == []
        n_injected += len(storm.records)
    assert n_injected == len(FAULTS) >= 12
