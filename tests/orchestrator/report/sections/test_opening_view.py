"""The view that a surface opens on: planted values face the camera."""

import re

import numpy as np
import pytest

from orchestrator.report.sections.cortex import SIDES, Mesh, load_mesh, turn
from orchestrator.report.sections.opening_view import (
    DIRECTIONS,
    FACING,
    find_direction,
    vertex_normals,
)


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return load_mesh()


def planted(mesh: Mesh, hemisphere: str, side: float):
    """Mark the posterior vertices that face the left (−1), the right (1) or any side (0)."""
    part = mesh.surfaces.parts[SIDES[hemisphere]]
    behind = part.coordinates[:, 1] < np.quantile(part.coordinates[:, 1], 0.15)
    return part, behind & (
        vertex_normals(part.coordinates, part.faces)[:, 0] * side >= 0.5 * abs(side)
    )


def test_normals_of_an_octahedron_are_its_corners_whatever_its_orientation() -> None:
    corners = np.vstack([np.eye(3), -np.eye(3)])
    x, y, z, u, v, w = range(6)
    faces = [(x, y, z), (y, u, z), (u, v, z), (v, x, z), (y, x, w), (u, y, w), (v, u, w), (x, v, w)]
    for oriented in (np.array(faces), np.array(faces)[:, ::-1]):
        np.testing.assert_allclose(vertex_normals(corners, oriented), corners, atol=1e-12)


@pytest.mark.parametrize("hemisphere", ["lh", "rh"])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_values_on_one_side_are_seen_from_there(mesh: Mesh, hemisphere: str, side: float) -> None:
    part, marked = planted(mesh, hemisphere, side)
    direction = find_direction(part.coordinates, part.faces, marked)
    assert np.linalg.norm(direction) == pytest.approx(1)
    assert direction[0] * side > 0.5
    assert direction[1] < -0.3
    normals = vertex_normals(part.coordinates, part.faces)[marked]
    others = [np.array(one) / np.linalg.norm(one) for one in DIRECTIONS]
    most = max(int((normals @ one > FACING).sum()) for one in others)
    assert int((normals @ direction > FACING).sum()) == most > 0.9 * len(normals)


def test_values_around_the_pole_are_seen_obliquely(mesh: Mesh) -> None:
    part, marked = planted(mesh, "lh", 0.0)
    direction = find_direction(part.coordinates, part.faces, marked)
    assert abs(direction[0]) > 0.4
    assert direction[1] < -0.4


@pytest.mark.slow
def test_the_page_opens_on_it(mesh: Mesh) -> None:
    _, marked = planted(mesh, "lh", 1.0)
    page = turn(mesh, "lh", np.where(marked, 0.1, np.nan), 0.2, "RdBu_r")
    eye = re.search(r'cameras = { scores: {"eye": {"x": ([\d.-]+), "y": ([\d.-]+)', page)
    assert float(eye[1]) > 0.8
    assert float(eye[2]) < -0.5
    assert '"view": "scores"' in page
    assert '<select id="select-view"><option value="scores">' in page
