"""The subject's own surfaces, ``mesh/lh.surf.gii`` and ``mesh/rh.surf.gii``, where they are there.

They are not stored: the vertices of neuroids.csv are checked against them, and maps are drawn on
them by `orchestrator.api.surface_image`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import require_file
from orchestrator.ingest.layouts import DESCRIPTION

MESH: Final = "mesh"
"""The folder of the surfaces."""
POINTS: Final = "NIFTI_INTENT_POINTSET"


def count_vertices(path: Path) -> int:
    """Count the vertices of a GIFTI surface; raise InputError for another kind of file."""
    import nibabel
    from nibabel.gifti.gifti import GiftiImage

    require_file(path, "surface")
    try:
        image = nibabel.load(path)
        points = image.get_arrays_from_intent(POINTS) if isinstance(image, GiftiImage) else []
        (found,) = points
        n_vertices, n_axes = found.data.shape
    except Exception as error:  # a damaged file raises nearly anything
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            f"{path}: expected a surface as a GIFTI file with one set of points, found a damaged "
            f"or other file ({reason}); save it as .surf.gii, or remove it"
        ) from error
    if n_axes != 3:
        raise InputError(f"{path}: expected points of three coordinates, found {n_axes}; save 3-D")
    return int(n_vertices)


def check_surfaces(
    folder: Path,
    neuroids: Path,
    vertices: NDArray[np.integer[Any]],
    sides: Mapping[str, NDArray[np.intp]],
    expected: int | None,
) -> None:
    """Raise InputError where a subject's surface lacks a vertex of neuroids.csv.

    vertices: (n_columns,). sides: the columns of each hemisphere. expected: vertices of the space's
    mesh; None: any number.
    """
    for side, columns in sides.items():
        path = folder / MESH / f"{side}.surf.gii"
        if not path.exists():
            continue
        n_vertices = count_vertices(path)
        if expected is not None and n_vertices != expected:
            raise InputError(
                f"{path}: {n_vertices:,} vertices, but the space in {DESCRIPTION} has "
                f"{expected:,}; set space to native, or give the surface of the space"
            )
        outside = columns[vertices[columns] >= n_vertices]
        if len(outside):
            raise InputError(
                f"{neuroids}: vertex is {vertices[outside[0]]:,} in row {outside[0] + 1}; expected "
                f"0 to {n_vertices - 1:,}, of {path}: count from 0, or give the subject's surface"
            )
