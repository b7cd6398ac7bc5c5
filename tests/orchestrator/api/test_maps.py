"""Values of vertices become images of nilearn, at the right vertices."""

import numpy as np
import pandas as pd
import pytest
from nilearn.surface import SurfaceImage

from orchestrator.api import plot_map, surface_image

ROWS = [("lh", 7, 0.5), ("lh", 9, 0.1), ("lh", 9, 0.3), ("rh", 12, -0.2), ("lh", 150_000, 0.9)]


@pytest.fixture
def values() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=["hemisphere", "fsaverage", "r"])


def test_values_are_at_their_vertices_and_overlaps_are_averaged(values) -> None:
    image = surface_image(values)
    assert isinstance(image, SurfaceImage)
    left, right = image.data.parts["left"], image.data.parts["right"]
    assert left.shape == right.shape == (10_242,)  # fsaverage5 lacks vertex 150,000
    assert {int(k): float(left[k]) for k in np.flatnonzero(np.isfinite(left))} == pytest.approx(
        {7: 0.5, 9: 0.2}
    )
    assert {int(k): float(right[k]) for k in np.flatnonzero(np.isfinite(right))} == pytest.approx(
        {12: -0.2}
    )


def test_a_map_is_drawn_with_symmetric_colours(values) -> None:
    figure = plot_map(surface_image(values), title="planted")
    assert figure.axes
    assert "planted" in [text.get_text() for text in (*figure.texts, figure.axes[0].title)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.drop(columns="fsaverage"), "expected a column fsaverage"),
        (lambda v: v.assign(fsaverage=160_000), "none of 5 rows has a vertex of fsaverage5"),
        (lambda v: v.assign(r=np.nan), "none of 5 rows"),
    ],
)
def test_values_that_no_mesh_has_are_refused(values, change, message) -> None:
    with pytest.raises(ValueError, match=message):
        surface_image(change(values))


def test_a_hemisphere_without_values_is_refused(values) -> None:
    image = surface_image(values[values["hemisphere"] == "lh"])
    with pytest.raises(ValueError, match="hemisphere rh: no vertex has a value"):
        plot_map(image, hemisphere="rh")
    with pytest.raises(ValueError, match="expected lh or rh"):
        plot_map(image, hemisphere="left")
