"""Read maps of one hemisphere's vertices from MGH files: labels, transforms, ncsnr."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.freesurfer.mghformat import MGHImage
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.arrays import listed
from orchestrator.ingest.entries import require_file


def read_surface_map(path: Path, what: str, n_vertices: int | None = None) -> NDArray[Any]:
    """Read one value per vertex from a .mgh or .mgz file: (n_vertices,).

    n_vertices: how many are expected; None for any number. Raises InputError for another shape,
    number, or kind of file.
    """
    require_file(path, what)
    try:
        image = nibabel.load(path)
        if not isinstance(image, MGHImage):
            raise TypeError(f"a {type(image).__name__}")
        values = np.asanyarray(image.dataobj)
    except Exception as error:  # a damaged file raises nearly anything
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            f"{path}: expected {what} as an MGH file, found a damaged or other file ({reason}); "
            "download it again"
        ) from error
    if values.size == 0 or values.size != values.shape[0]:
        raise InputError(
            f"{path}: expected {what} of (vertices, 1, 1), found {values.shape}; download it again"
        )
    if n_vertices is not None and len(values) != n_vertices:
        raise InputError(
            f"{path}: {what} of {len(values):,} vertices, but the betas have {n_vertices:,}; "
            "download both again, for the same subject and space"
        )
    return values.reshape(-1)


def read_surface_labels(path: Path, n_vertices: int | None = None) -> NDArray[np.int32]:
    """Read one label per vertex: (n_vertices,) whole numbers, 0 for none.

    Raises InputError for other numbers; -1 is a mark of volumes.
    """
    values = read_surface_map(path, "ROI labels", n_vertices)
    return whole_numbers(path, values, 0, "ROI labels from 0 on")


def read_carried_from(
    path: Path, n_vertices: int | None, n_native: int | None
) -> NDArray[np.int32]:
    """Read the native vertex, counted from 0, of each fsaverage vertex: (n_vertices,).

    The file counts from 1. n_native: number of native vertices. Raises InputError for numbers that
    are no such vertices.
    """
    values = read_surface_map(path, "native vertices", n_vertices)
    numbers = whole_numbers(path, values, 1, "native vertices, counted from 1")
    if n_native is not None and numbers.max() > n_native:
        raise InputError(
            f"{path}: names native vertex {numbers.max():,}, but the labels have {n_native:,} "
            "vertices; download both again, for the same subject"
        )
    return numbers - 1


def whole_numbers(path: Path, values: NDArray[Any], least: int, what: str) -> NDArray[np.int32]:
    """Convert values to integers; raise InputError for fractions and numbers below the least."""
    whole = np.isfinite(values) & (values == np.rint(values)) & (values >= least)
    strange = np.flatnonzero(~whole)
    if len(strange):
        raise InputError(
            f"{path}: expected {what}, found {values.reshape(-1)[strange[0]]} and others, in "
            f"{len(strange):,} places: {listed(strange)}; download it again"
        )
    numbers: NDArray[np.int32] = values.astype(np.int32)
    return numbers
