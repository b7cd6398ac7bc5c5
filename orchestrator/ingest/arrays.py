"""Read a source's .npy files, and refuse those with unexpected content."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import require_file

SCAN_BYTES: Final = 64 << 20
"""How much of a response matrix is checked, or kept in memory, at once."""
NO_CORTEX: Final = -1
"""What NSD's masks hold where there is no cortex."""
SHOWN: Final = 5
"""How many items an error names before it only counts them."""


def open_array(path: Path, what: str) -> NDArray[Any]:
    """Map an .npy file into memory without reading it; raise InputError when it is not one."""
    require_file(path, what)
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


def count_broken(responses: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Count the NaN and infinite responses of each vertex, (n_vertices,), as float32."""
    n_images, n_vertices = responses.shape
    step = max(1, SCAN_BYTES // max(1, responses.itemsize * n_vertices))
    broken = np.zeros(n_vertices, dtype=np.int64)
    for start in range(0, n_images, step):
        with np.errstate(over="ignore"):  # what float32 cannot hold is found as infinite
            part = responses[start : start + step].astype(np.float32)
        broken += (~np.isfinite(part)).sum(axis=0)
    return broken


def check_finite(
    path: Path, responses: NDArray[np.floating[Any]], regions: Iterable[NDArray[np.int32]]
) -> str | None:
    """Raise InputError naming the vertices of ROIs that hold NaN or infinite responses.

    regions: the vertices of each ROI. Returns a line that names such vertices of no ROI, which are
    never scored; None where there are none.
    """
    broken = count_broken(responses)
    used = np.zeros(len(broken), dtype=bool)
    for vertices in regions:
        used[vertices[vertices < len(used)]] = True
    inside, outside = np.flatnonzero(broken * used), np.flatnonzero(broken * ~used)
    if len(inside):
        raise InputError(
            f"{path}: {broken[inside].sum():,} responses are NaN or infinite, in {len(inside):,} "
            f"of {len(broken):,} vertices: {listed(inside)}; download it again, or set these "
            "vertices to 0 in the ROI masks"
        )
    if not len(outside):
        return None
    return (
        f"{path}: {len(outside):,} of {len(broken):,} vertices have NaN or infinite responses, and "
        f"lie in no ROI, so that they are never scored: {listed(outside)}"
    )


def read_labels(path: Path, n_vertices: int | None) -> NDArray[np.integer[Any]]:
    """Read an ROI mask: (n_vertices,) integer labels, 0 for none.

    Whole numbers saved as floats are labels too, and -1 (NSD's "no cortex") is none. Raises
    InputError when it has another shape, type or length; None as n_vertices, where the responses
    could not be read, leaves the length unchecked, here and below.
    """
    labels = open_array(path, "ROI mask")
    if labels.ndim != 1 or labels.dtype.kind not in "biuf":
        raise InputError(
            f"{path}: expected one integer label per vertex, found {labels.dtype} of "
            f"{labels.shape}; download it again, or save it as a 1-D array of integers"
        )
    _check_length(path, "labels", len(labels), n_vertices)
    whole = np.isfinite(labels) & (labels == np.rint(labels)) & (labels >= NO_CORTEX)
    strange = np.flatnonzero(~whole)
    if len(strange):
        raise InputError(
            f"{path}: expected whole numbers as labels, 0 for none, found {labels[strange[0]]} and "
            f"others, at vertices {listed(strange)}; save 0 there, or download it again"
        )
    return np.maximum(np.asarray(labels).astype(np.int64), 0)


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
