"""Read CIFTI-2 files: their grayordinates and the values of their maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nibabel
import numpy as np
from nibabel.cifti2.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import BrainModelAxis, LabelAxis, ScalarAxis
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import require_file

STRUCTURES: Final = {"lh": "CIFTI_STRUCTURE_CORTEX_LEFT", "rh": "CIFTI_STRUCTURE_CORTEX_RIGHT"}
"""CIFTI's brain model of each hemisphere's cortex."""


@dataclass(frozen=True)
class Grayordinates:
    """The cortical columns of a CIFTI file, by hemisphere and mesh vertex."""

    n_columns: int
    """Number of columns of the file, cortical or not."""
    columns: Mapping[str, NDArray[np.int32]]
    """For each hemisphere, its columns in the file."""
    vertices: Mapping[str, NDArray[np.int32]]
    """For each hemisphere, the mesh vertex of each of these columns."""

    @property
    def cortex(self) -> NDArray[np.int32]:
        """List the cortical columns of the file, ascending."""
        return np.sort(np.concatenate(list(self.columns.values())))

    def same_vertices(self, other: "Grayordinates") -> bool:
        """Return whether another file has the same cortical vertices."""
        return all(
            np.array_equal(np.sort(self.vertices[side]), np.sort(other.vertices[side]))
            for side in STRUCTURES
        )

    def counted(self) -> str:
        """Format the number of cortical grayordinates of each hemisphere."""
        counts = " + ".join(f"{len(self.columns[side]):,} {side}" for side in STRUCTURES)
        return f"{len(self.cortex):,} cortical grayordinates ({counts})"


@dataclass(frozen=True)
class Maps:
    """An open CIFTI file of maps over grayordinates, with values read on access."""

    path: Path
    image: Cifti2Image
    n_maps: int
    grayordinates: Grayordinates

    def values(self) -> NDArray[Any]:
        """Memory-map the values: (n_maps, n_columns). Raise InputError for a truncated file."""
        try:
            return np.asanyarray(self.image.dataobj)
        except Exception as error:  # NumPy and nibabel raise many types for truncated files
            raise InputError(
                f"{self.path}: its values can't be read ({_one_line(error)}); download it again"
            ) from error


def open_scalars(path: Path, what: str) -> Maps:
    """Open a .dscalar.nii; raise InputError for another format or a missing hemisphere."""
    return _open(path, what, ScalarAxis)


def open_labels(path: Path, what: str) -> tuple[Maps, Mapping[int, str]]:
    """Open a .dlabel.nii; return its maps and the label name of each key of the first map."""
    maps = _open(path, what, LabelAxis)
    axis = maps.image.header.get_axis(0)
    return maps, {int(key): str(name) for key, (name, _) in axis.label[0].items()}


def _open(path: Path, what: str, expected: type[ScalarAxis | LabelAxis]) -> Maps:
    require_file(path, what)
    try:
        image = nibabel.load(path)
        if not isinstance(image, Cifti2Image):
            raise TypeError(f"a {type(image).__name__}")
        rows, columns = (image.header.get_axis(k) for k in range(2))
    except Exception as error:  # a damaged header raises nearly anything
        raise InputError(
            f"{path}: expected {what} as a CIFTI-2 file, found a damaged or other file "
            f"({_one_line(error)}); download it again"
        ) from error
    if not isinstance(rows, expected) or not isinstance(columns, BrainModelAxis):
        raise InputError(
            f"{path}: expected {what} as {expected.__name__} by BrainModelAxis, found "
            f"{type(rows).__name__} by {type(columns).__name__}; give the right file"
        )
    return Maps(path, image, len(rows), _read_grayordinates(path, columns))


def _read_grayordinates(path: Path, axis: BrainModelAxis) -> Grayordinates:
    places = {side: np.flatnonzero(axis.name == name) for side, name in STRUCTURES.items()}
    missing = [STRUCTURES[side] for side, columns in places.items() if not len(columns)]
    if missing:
        raise InputError(
            f"{path}: no grayordinates of {' or '.join(missing)}; expected both hemispheres' "
            "cortex: download it again"
        )
    return Grayordinates(
        n_columns=len(axis),
        columns={side: columns.astype(np.int32) for side, columns in places.items()},
        vertices={side: axis.vertex[columns].astype(np.int32) for side, columns in places.items()},
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
