"""Properties of r: what it ignores, what turns its sign, and its range."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.builders.ridge_cases import (
    generator,
    normal,
    ours,
    small,
)

PROPERTY = settings(max_examples=15, deadline=None)
SMALL = torch.arange(30), torch.arange(30, 45)
seeds = st.integers(0, 2**31)


def small_r(X: Tensor, Y: Tensor, rows: tuple[Tensor, Tensor] = SMALL) -> np.ndarray:
    return ours(X, Y, 20, *rows)


@PROPERTY
@given(seeds, st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
def test_r_ignores_scale_and_shift_of_the_responses(seed, scale, shift) -> None:
    X, Y = small(seed)
    np.testing.assert_allclose(small_r(X, scale * (Y + shift)), small_r(X, Y), atol=1e-5)


@PROPERTY
@given(seeds)
def test_r_changes_sign_with_the_responses_of_the_test_images(seed) -> None:
    X, Y = small(seed)
    flipped = Y.clone()
    flipped[SMALL[1]] *= -1
    np.testing.assert_allclose(small_r(X, flipped), -small_r(X, Y), atol=1e-6)


@PROPERTY
@given(seeds, st.floats(-1e4, 1e4))
def test_r_ignores_a_shift_of_the_features(seed, shift) -> None:
    X, Y = small(seed)
    moved = X.double() + shift * normal(25, seed=seed + 2).double()
    np.testing.assert_allclose(small_r(moved, Y), small_r(X, Y), atol=1e-5)


@PROPERTY
@given(seeds)
def test_r_ignores_the_order_of_images_within_a_side(seed) -> None:
    X, Y = small(seed)
    rows = tuple(side[torch.randperm(len(side), generator=generator(seed))] for side in SMALL)
    np.testing.assert_allclose(small_r(X, Y, rows), small_r(X, Y), atol=1e-5)


@PROPERTY
@given(seeds, st.sets(st.integers(0, 5), min_size=1))
def test_r_of_a_vertex_does_not_depend_on_the_others(seed, chosen) -> None:
    X, Y = small(seed)
    columns = sorted(chosen)
    np.testing.assert_allclose(small_r(X, Y[:, columns]), small_r(X, Y)[:, columns], atol=1e-6)


@PROPERTY
@given(seeds)
def test_r_lies_between_minus_one_and_one(seed) -> None:
    assert np.abs(small_r(*small(seed))).max() <= 1 + 1e-6
