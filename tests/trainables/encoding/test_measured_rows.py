"""Which images r is measured on: without those left out, and without what is left over of folds."""

import numpy as np

from tests.builders.layer_features import split
from trainables.encoding.protocols import Split, n_scored
from trainables.spec import PROTOCOLS


def test_rows_that_are_not_measured_leave_test_images_and_released_rows_alone() -> None:
    parts = Split(np.arange(10, 20), np.arange(10), 20)
    found = parts.without(np.array([3, 12, 19]))
    assert found.test.tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert found.train.tolist() == list(range(10, 20))
    assert found.released.tolist() == [10, 11, 13, 14, 15, 16, 17, 18]
    assert parts.test.tolist() == list(range(10))


def test_images_beyond_whole_folds_are_not_scored_where_folds_score() -> None:
    parts = split()
    assert {name: n_scored(name, parts, 7) for name in PROTOCOLS} == {
        "nested": 40,
        "clean": 40,
        "paper": 35,
        "released": 77,
    }
