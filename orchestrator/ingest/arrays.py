"""Read a source's .npy files, and refuse those with unexpected content."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError

SCAN_BYTES: Final = 64 << 20
"""How much of a response matrix is checked, or kept in memory, at once."""
SHOWN: Final = 5
"""How many items an error names before it only counts them."""


def open_array(path: Path, what: str) -> NDArray[Any]:
    """Map an .npy file into memory without reading it; raise InputError when it is not one."""
    if not path.is_file():
        raise InputError(f"{path}: {what} missing; download it again")
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # a damaged header raises nearly anything
        raise InputError(
            f"{path}: expected {what} as an .npy array, found a damaged or other file "
            f"({error}); download it again"
        ) from error


def open_responses(path: Path) -> NDArray[np.floating[Any]]:
    """Map a response matrix, (n_images, n_vertices) of a float type.

    Raises InputError when it is no such matrix.
    """
    responses = open_array(path, "responses")
    if (
        responses.ndim != 2
        or responses.size == 0
        or not np.issubdtype(responses.dtype, np.floating)
    ):
        raise InputError(
            f"{path}: expected responses as floats of (images, vertices), "
            f"found {responses.dtype} of {responses.shape}; download it again"
        )
    return responses


def check_finite(path: Path, responses: NDArray[np.floating[Any]]) -> None:
    """Raise InputError naming the vertices that hold NaN or infinite responses."""
    n_images, n_vertices = responses.shape
    step = max(1, SCAN_BYTES // max(1, responses.itemsize * n_vertices))
    broken = np.zeros(n_vertices, dtype=np.int64)
    for start in range(0, n_images, step):
        with np.errstate(over="ignore"):  # what float32 cannot hold is found as infinite
            part = responses[start : start + step].astype(np.float32)
        broken += (~np.isfinite(part)).sum(axis=0)
    if broken.any():
        vertices = np.flatnonzero(broken)
        raise InputError(
            f"{path}: {broken.sum():,} responses are NaN or infinite, in {len(vertices):,} of "
            f"{n_vertices:,} vertices: {listed(vertices)}; download it again, or leave those "
            "vertices out of responses and masks"
        )


def read_labels(path: Path, n_vertices: int | None) -> NDArray[np.integer[Any]]:
    """Read an ROI mask: (n_vertices,) integer labels, 0 for none.

    Raises InputError when it has another shape, type or length; None as n_vertices, where the
    responses could not be read, leaves the length unchecked, here and below.
    """
    labels = open_array(path, "ROI mask")
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"{path}: expected one integer label per vertex, found {labels.dtype} of "
            f"{labels.shape}; download it again"
        )
    _check_length(path, "labels", len(labels), n_vertices)
    return np.asarray(labels)


def read_mesh(path: Path, n_vertices: int | None) -> NDArray[np.int32]:
    """Read the fsaverage vertex of each response column, (n_vertices,), ascending.

    The file marks the present vertices of the fsaverage mesh with 1, the others with 0.
    Raises InputError when it holds anything else, or not n_vertices ones.
    """
    marks = open_array(path, "fsaverage mesh vertices")
    if marks.ndim != 1 or not np.isin(marks, (0, 1)).all():
        raise InputError(
            f"{path}: expected a 0 or 1 for each vertex of the fsaverage mesh, found "
            f"{marks.dtype} of {marks.shape} with other values; download it again"
        )
    vertices = np.flatnonzero(marks).astype(np.int32)
    _check_length(path, "vertices marked 1", len(vertices), n_vertices)
    return vertices


def read_noise_ceiling(path: Path, n_vertices: int | None) -> NDArray[np.float32]:
    """Read the highest r that a perfect model could reach at each vertex, (n_vertices,).

    NaN where unknown. Raises InputError for another shape or length, or values that are not
    correlations.
    """
    ceiling = open_array(path, "noise ceiling")
    if ceiling.ndim != 1 or not np.issubdtype(ceiling.dtype, np.floating):
        raise InputError(
            f"{path}: expected one float per vertex, found {ceiling.dtype} of {ceiling.shape}; "
            "save it as a 1-D float array"
        )
    _check_length(path, "noise ceilings", len(ceiling), n_vertices)
    outside = np.flatnonzero((ceiling < 0) | (ceiling > 1))
    if len(outside):
        raise InputError(
            f"{path}: expected correlations from 0 to 1, found {len(outside):,} values outside, "
            f"at vertices {listed(outside)}; for a ceiling in per cent of variance v, save √(v/100)"
        )
    return np.asarray(ceiling, dtype=np.float32)


def _check_length(path: Path, what: str, found: int, n_vertices: int | None) -> None:
    if n_vertices is not None and found != n_vertices:
        raise InputError(
            f"{path}: {found:,} {what}, but the responses have {n_vertices:,} vertices; "
            "download both again, from the same subject"
        )


def listed(items: NDArray[Any] | list[str]) -> str:
    """Name the first few items, and count the others."""
    shown = ", ".join(str(item) for item in items[:SHOWN])
    return shown if len(items) <= SHOWN else f"{shown} and {len(items) - SHOWN:,} more"
