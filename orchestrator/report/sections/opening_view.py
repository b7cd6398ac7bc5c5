"""The view that an interactive surface opens on: the one that shows most vertices with a value."""

import itertools
import json
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Faces = np.ndarray[Any, np.dtype[np.int64]]

DISTANCE: Final = 1.7
"""Of the camera from the centre, in plotly's units: as far as that of nilearn's own views."""
FACING: Final = 0.3
"""Least cosine between a vertex' normal and the direction of the camera for it to be seen."""
DIRECTIONS: Final = tuple(
    (float(x), -1.0, float(z))
    for x, z in itertools.product((-1.5, -1.0, 1.0, 1.5), (0.3, 0.0, -0.6, -1.2))
)
"""Candidates, obliquely from behind: x to the right, y to the front, z up. None is exactly from
behind, where the occipital pole hides both sides and the hemisphere cannot be recognised."""


def find_direction(
    coordinates: Array, faces: Faces, has_value: np.ndarray[Any, np.dtype[np.bool_]]
) -> Array:
    """Choose among DIRECTIONS the one from which most vertices with a value are seen.

    coordinates: (n_vertices, 3). faces: (n_faces, 3), of vertices. has_value: (n_vertices,) bool.
    Returns the direction of the camera from the centre, (3,), of length 1. Of several that show as
    many, the one that they face most.
    """
    normals = vertex_normals(coordinates, faces)[has_value]
    directions = np.array(DIRECTIONS)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cosines = normals @ directions.T
    seen = (cosines > FACING).sum(axis=0)
    best = np.lexsort((cosines.sum(axis=0), seen))[-1]
    found: Array = directions[best]
    return found


def vertex_normals(coordinates: Array, faces: Faces) -> Array:
    """Return the outward normal of each vertex of a closed mesh: (n_vertices, 3), of length 1."""
    a, b, c = (coordinates[faces[:, k]] for k in range(3))
    of_faces = np.cross(b - a, c - a)  # as long as the face is large
    normals = np.zeros(coordinates.shape)
    for k in range(3):
        np.add.at(normals, faces[:, k], of_faces)
    # By the divergence theorem the volume is positive where the faces are oriented outward.
    if np.einsum("ij,ij->", of_faces, a) < 0:
        normals = -normals
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    found: Array = normals / np.where(lengths > 0, lengths, 1.0)
    return found


def open_on(page: str, direction: Array) -> str:
    """Make nilearn's page of a surface open on a direction, and offer it in its list of views."""
    x, y, z = (round(float(one) * DISTANCE, 3) for one in direction)
    camera = {
        "eye": {"x": x, "y": y, "z": z},
        "up": {"x": 0, "y": 0, "z": 1},
        "center": {"x": 0, "y": 0, "z": 0},
    }
    replacements = {
        "const cameras = {": f"const cameras = {{ scores: {json.dumps(camera)},",
        '<select id="select-view">': '<select id="select-view">'
        '<option value="scores">view: Scores</option>',
        '"view": "left"': '"view": "scores"',
    }
    for old, new in replacements.items():
        page = page.replace(old, new, 1)
    return page
