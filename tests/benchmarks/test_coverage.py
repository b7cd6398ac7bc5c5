"""How often the interval of a difference holds the truth where there is no difference."""

import pytest

from benchmarks.coverage import Design, coverage

REPEATS = 400


@pytest.mark.slow
@pytest.mark.parametrize("design", [Design(1, 3), Design(3, 1), Design(4, 1)], ids=str)
def test_a_95_percent_interval_holds_the_truth(design: Design) -> None:
    (ours, _, vertices), covers = coverage(design, REPEATS)
    assert 0.93 <= ours <= 0.98, covers
    assert vertices < 0.7, "vertices that share errors are no independent sample"
