"""Vertices that are constant and layers that are dead: no r, and no say."""

import numpy as np
import pytest
import torch

from tests.builders.layer_features import (
    N_VERTICES,
    only,
    roi,
    simulate,
    split,
)
from trainables.encoding.protocols import contiguous_folds
from trainables.spec import PROTOCOLS


def test_an_roi_of_four_vertices_is_scored() -> None:
    layers, Y = simulate()
    scores = only(layers, Y, "nested", rois=[(roi("mTL-bodies", 4), np.arange(4))])
    assert scores.r.shape == scores.alpha.shape == (4,)
    assert scores.r_by_layer.shape == (3, 4)
    assert scores.n_constant == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_constant_vertex_has_no_r_is_counted_and_changes_no_choice(protocol) -> None:
    layers, Y = simulate()
    usual = only(layers, Y[:, 1:], protocol)
    Y[:, 0] = 3.7
    scores = only(layers, Y, protocol)
    assert scores.n_constant == 1
    assert np.isnan([scores.r[0], scores.alpha[0], *scores.r_by_layer[:, 0]]).all()
    assert scores.layer == usual.layer
    np.testing.assert_allclose(scores.r[1:], usual.r, atol=1e-6)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_vertex_constant_in_one_held_out_block_has_no_r(protocol) -> None:
    layers, Y = simulate()
    rows = split().rows_for(protocol)
    Y[rows[8:16], 2] = -1.0  # the second block of `paper`; half of the first two of the others
    _, held_out = list(contiguous_folds(split().rows_for("paper"), 5))[1]
    assert protocol != "paper" or held_out.tolist() == rows[8:16].tolist()
    Y[split().train[16:32], 2] = -1.0
    assert np.isnan(only(layers, Y, protocol).r[2])


def test_a_vertex_constant_over_the_test_images_has_no_r_but_still_a_say_in_the_layer() -> None:
    layers, Y = simulate()
    usual = only(layers, Y, "nested")
    Y[split().test, 2] = 5.0
    scores = only(layers, Y, "nested")
    assert scores.n_constant == 1
    np.testing.assert_array_equal(scores.choice_by_layer, usual.choice_by_layer)


def test_a_dead_layer_is_not_chosen() -> None:
    layers, Y = simulate()
    dead = {name: torch.zeros_like(X) if name == "middle" else X for name, X in layers.items()}
    scores = only(dead, Y, "nested")
    assert scores.layer != "middle"
    assert np.isnan(scores.r_by_layer[1]).all()
    assert not np.isnan(scores.r).any()


def test_an_roi_without_any_r_names_the_first_layer_and_counts_all() -> None:
    layers, Y = simulate()
    scores = only(layers, np.ones_like(Y), "nested")
    assert (scores.layer, scores.n_constant) == ("shallow", N_VERTICES)
