"""Read CIFTI-2 files: which grayordinates they have, and the values of their maps."""

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

STRUCTURES: Final = {"lh": "CIFTI_STRUCTURE_CORTEX_LEFT", "rh": "CIFTI_STRUCTURE_CORTEX_RIGHT"}
"""The brain model of each hemisphere's cortex."""


@dataclass(frozen=True)
class Grayordinates:
    """The columns of a CIFTI file: those of the cortex, by hemisphere and mesh vertex."""

    n_columns: int
    """Columns of the file, of the cortex and of all else."""
    columns: Mapping[str, NDArray[np.int32]]
    """Of each hemisphere, the file's columns."""
    vertices: Mapping[str, NDArray[np.int32]]
    """Of each hemisphere, the mesh vertex of each of these columns."""

    @property
    def cortex(self) -> NDArray[np.int32]:
        """List the file's columns that are of the cortex, ascending."""
        return np.sort(np.concatenate(list(self.columns.values())))

    def same_vertices(self, other: "Grayordinates") -> bool:
        """Tell whether the other file has the same vertices of the cortex."""
        return all(
            np.array_equal(np.sort(self.vertices[side]), np.sort(other.vertices[side]))
            for side in STRUCTURES
        )

    def counted(self) -> str:
        """Count the cortical grayordinates of each hemisphere, in words."""
        counts = " + ".join(f"{len(self.columns[side]):,} {side}" for side in STRUCTURES)
        return f"{len(self.cortex):,} cortical grayordinates ({counts})"


@dataclass(frozen=True)
class Maps:
    """One open CIFTI file of maps over grayordinates; values are read when they are asked for."""

    path: Path
    image: Cifti2Image
    n_maps: int
    grayordinates: Grayordinates

    def values(self) -> NDArray[Any]:
        """Map the file's values: (n_maps, n_columns); raise InputError when it was cut."""
        try:
            return np.asanyarray(self.image.dataobj)
        except Exception as error:  # whatever a short file makes numpy or nibabel raise
            raise InputError(
                f"{self.path}: its values can't be read ({_one_line(error)}); download it again"
            ) from error


def open_scalars(path: Path, what: str) -> Maps:
    """Open a .dscalar.nii; raise InputError when it is none, or lacks a hemisphere."""
    return _open(path, what, ScalarAxis)


def open_labels(path: Path, what: str) -> tuple[Maps, Mapping[int, str]]:
    """Open a .dlabel.nii; return its maps and the name of each key of the first map."""
    maps = _open(path, what, LabelAxis)
    axis = maps.image.header.get_axis(0)
    return maps, {int(key): str(name) for key, (name, _) in axis.label[0].items()}


def _open(path: Path, what: str, expected: type[ScalarAxis | LabelAxis]) -> Maps:
    if not path.is_file():
        hint = ": the link leads nowhere, get its content (datalad get)"
        raise InputError(f"{path}: {what} missing{hint if path.is_symlink() else '; download it'}")
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
