"""Vertices of the subject's own surface, and the surfaces beside them."""

from collections.abc import Callable

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
from nibabel.gifti import GiftiDataArray, GiftiImage

from tests.builders.own_folder import N_LEFT, N_NEUROIDS, Own, errors_of, ingest_own, write_own
from trainables.data.data_directory import VERTICES


def surface(own: Own, side: str, n_vertices: int, n_axes: int = 3) -> None:
    """Write a surface of a few vertices."""
    points = np.random.default_rng(0).normal(size=(n_vertices, n_axes)).astype(np.float32)
    array = GiftiDataArray(points, intent="NIFTI_INTENT_POINTSET")
    (own.subject / "mesh").mkdir(exist_ok=True)
    nibabel.save(GiftiImage(darrays=[array]), own.subject / "mesh" / f"{side}.surf.gii")


@pytest.mark.parametrize("has_meshes", [True, False])
def test_vertices_of_the_subject_s_own_surface_are_kept(tmp_path, has_meshes) -> None:
    own = write_own(tmp_path / "source")
    own.describe(space="native")
    if has_meshes:
        surface(own, "lh", 100 + N_LEFT)
        surface(own, "rh", 110)
    ingest_own(own.root, tmp_path / "data")
    table = pq.read_table(tmp_path / "data" / "mine-sub-01" / VERTICES)
    assert table["fsaverage"].null_count == len(table)
    sides, found = table["hemisphere"].to_pylist(), table["native_vertex"].to_pylist()
    assert list(zip(sides, found, strict=True)) == [
        ("lh" if number < N_LEFT else "rh", 100 + number) for number in range(N_NEUROIDS)
    ]


def native(change: Callable[[Own], object]) -> Callable[[Own], None]:
    def apply(own: Own) -> None:
        own.describe(space="native")
        change(own)

    return apply


def no_surface(own: Own) -> None:
    surface(own, "lh", 9)
    (own.subject / "mesh" / "lh.surf.gii").write_text("no surface")


def drop_vertices(own: Own) -> None:
    own.save("sub-01/neuroids.csv", own.table("sub-01/neuroids.csv").drop(columns="vertex"))


MALFORMED = {
    "a surface of another subject": (
        native(lambda own: surface(own, "rh", 109)),
        "neuroids.csv: vertex is 109 in row 10; expected 0 to 108, of ",
    ),
    "a surface that is no GIFTI": (
        native(no_surface),
        "lh.surf.gii: expected a surface as a GIFTI file with one set of points, found a damaged",
    ),
    "a flat surface": (
        native(lambda own: surface(own, "lh", 200, 2)),
        "lh.surf.gii: expected points of three coordinates, found 2",
    ),
    "a surface that is not fsaverage": (
        lambda own: surface(own, "lh", 200),
        "lh.surf.gii: 200 vertices, but the space in dataset.json has 163,842",
    ),
    "no column of vertices": (
        native(drop_vertices),
        "expected a column vertex, as the space in dataset.json is native",
    ),
}


@pytest.mark.parametrize(("change", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_surface_that_does_not_fit_is_refused_in_a_line(
    tmp_path, capsys, change, message
) -> None:
    own = write_own(tmp_path / "source")
    change(own)
    (line,) = errors_of(["folder", own.root, "--out", tmp_path / "data"], capsys)
    assert message in line
    assert not (tmp_path / "data").exists()
