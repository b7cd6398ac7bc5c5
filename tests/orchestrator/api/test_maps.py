"""Values of vertices become images of nilearn, at the right vertices."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from nibabel.gifti import GiftiDataArray, GiftiImage
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


def write_surface(path: Path, n_vertices: int) -> Path:
    points = np.random.default_rng(0).normal(size=(n_vertices, 3)).astype(np.float32)
    faces = np.arange(9, dtype=np.int32).reshape(3, 3)
    kinds = {"NIFTI_INTENT_POINTSET": points, "NIFTI_INTENT_TRIANGLE": faces}
    arrays = [GiftiDataArray(values, intent=kind) for kind, values in kinds.items()]
    nibabel.save(GiftiImage(darrays=arrays), path)
    return path


def test_values_of_fslr_are_put_on_surfaces_of_that_mesh(values, tmp_path) -> None:
    left, right = (write_surface(tmp_path / f"{side}.surf.gii", 32_492) for side in "LR")
    on_fslr = values[:4].assign(fslr=[7, 9, 9, 32_491], fsaverage=pd.NA)
    image = surface_image(on_fslr, mesh=(left, right))
    found = {part: image.data.parts[part] for part in ("left", "right")}
    assert np.flatnonzero(np.isfinite(found["left"])).tolist() == [7, 9]
    assert found["left"][9] == pytest.approx(0.2)
    assert np.flatnonzero(np.isfinite(found["right"])).tolist() == [32_491]
    with pytest.raises(ValueError, match="none of 4 rows has a vertex of fsaverage5"):
        surface_image(on_fslr)
    other = write_surface(tmp_path / "other.surf.gii", 50)
    with pytest.raises(ValueError, match=r"other.surf.gii: expected a surface of 32k fsLR"):
        surface_image(on_fslr, mesh=(left, other))


def test_values_of_a_subject_s_own_surface_are_put_on_its_files(values, tmp_path) -> None:
    surfaces = tuple(write_surface(tmp_path / f"{side}.surf.gii", 50) for side in ("lh", "rh"))
    native = values[:4].assign(native_vertex=[7, 9, 9, 49], fslr=pd.NA, fsaverage=pd.NA)
    image = surface_image(native, mesh=surfaces)
    assert np.flatnonzero(np.isfinite(image.data.parts["left"])).tolist() == [7, 9]
    assert np.flatnonzero(np.isfinite(image.data.parts["right"])).tolist() == [49]
    assert plot_map(image).axes
    with pytest.raises(ValueError, match="native_vertex 50 in rh, but its surface has 50 vertices"):
        surface_image(native.assign(native_vertex=[7, 9, 9, 50]), mesh=surfaces)


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
