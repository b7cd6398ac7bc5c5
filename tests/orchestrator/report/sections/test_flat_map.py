"""The flat patch: what it shows, and where the outlines of ROIs are."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from orchestrator.report.sections.flat_map import draw_flat, outlines, patch

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def grid(n: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A flat mesh of n x n vertices, 6 mm apart."""
    x, y = np.meshgrid(np.arange(n), np.arange(n))
    coordinates = 6.0 * np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], axis=1)
    at = np.arange(n * n).reshape(n, n)
    lower = np.stack([at[:-1, :-1], at[:-1, 1:], at[1:, 1:]], axis=-1).reshape(-1, 3)
    upper = np.stack([at[:-1, :-1], at[1:, 1:], at[1:, :-1]], axis=-1).reshape(-1, 3)
    return coordinates, np.concatenate([lower, upper])


def test_one_roi_has_no_outline() -> None:
    assert outlines(SQUARE, FACES, np.array(["V1v"] * 4)) == []


def test_two_rois_are_divided_between_the_middles_of_the_edges_that_join_them() -> None:
    found = outlines(SQUARE, FACES, np.array(["V1v", "V1v", "V1v", "V2v"]))
    assert len(found) == 1
    ends = sorted(map(tuple, found[0].tolist()))
    assert ends == [(0.0, 0.5), (0.5, 1.0)]


def test_three_rois_meet_in_the_centre_of_a_face() -> None:
    found = outlines(SQUARE, FACES[:1], np.array(["V1v", "V2v", "V3v", ""]))
    assert len(found) == 3
    for _, end in found:
        np.testing.assert_allclose(end, SQUARE[:3].mean(axis=0))


def test_the_patch_is_around_the_values_whatever_lies_elsewhere() -> None:
    coordinates, _ = grid()
    has_value = np.zeros(len(coordinates), bool)
    has_value[:24] = True  # two rows
    low, high = patch(coordinates[:, :2], has_value)
    assert low[0] < 0
    assert high[1] < 18
    assert high[0] > 66


@pytest.mark.parametrize("n_values", [0, 24])
def test_values_have_their_colours_and_the_rest_is_grey(n_values: int) -> None:
    coordinates, faces = grid()
    values = np.full(len(coordinates), np.nan)
    values[:n_values] = 1.0
    names = ["V1v"] * n_values + [""] * (len(values) - n_values)
    colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(-1, 1), "RdBu_r")
    axes = Figure().add_subplot()
    faces = np.concatenate([faces, [[0, 5, 143]]])  # joins two sides of a cut
    draw_flat(axes, (coordinates, faces), np.zeros(len(values)), values, names, colours)
    [cells] = [one for one in axes.collections if isinstance(one, PolyCollection)]
    [lines] = [one for one in axes.collections if isinstance(one, LineCollection)]
    rgb = cells.get_facecolor()[:, :3]
    red = rgb[:, 0] - rgb[:, 2] > 0.2
    assert red.sum() == n_values // 12 * 11 * (n_values > 0)
    assert [text.get_text() for text in axes.texts] == ["V1v"][: n_values // 24]
    assert bool(lines.get_segments()) == bool(n_values)
