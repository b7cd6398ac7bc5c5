"""What a split has too few images for, at the exact bound and one below it."""

import pytest

from trainables.encoding.split_sizes import count_clean, shortage


@pytest.mark.parametrize(
    ("protocol", "n_folds", "counts", "missing"),
    [
        ("nested", 5, (18, 15, 3), ""),
        ("nested", 5, (17, 14, 3), "14 training images in 5 folds, needs 15"),
        ("nested", 5, (17, 15, 2), "2 test images, needs 3"),
        ("clean", 5, (100, 90, 2), "2 test images, needs 3"),
        ("clean", 4, (80, 60, 3), ""),
        ("clean", 4, (80, 59, 3), "11 training images in 4 folds, needs 12"),
        ("paper", 5, (30, 15, 15), ""),
        ("paper", 5, (100, 86, 14), "14 test images in 5 folds, needs 15"),
        ("paper", 2, (100, 98, 2), "2 test images in 2 folds, needs 6"),
        ("released", 5, (18, 18, 0), "14 training images in 5 folds, needs 15"),
        ("released", 6, (20, 20, 0), "17 training images in 6 folds, needs 18"),
        ("released", 5, (20, 14, 6), "14 training images in 5 folds, needs 15"),
        ("released", 5, (20, 20, 0), ""),
    ],
)
def test_what_is_short(protocol, n_folds, counts, missing):
    assert shortage(protocol, n_folds, *counts) == missing


def test_a_share_of_the_training_images_is_clean():
    assert [count_clean(n) for n in (0, 4, 5, 9, 10_000)] == [0, 0, 1, 1, 2000]
