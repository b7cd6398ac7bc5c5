"""Read the vertices of V1 to V4 from the HCP-MMP atlas, a .dlabel.nii or .mat file."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.arrays import listed
from orchestrator.ingest.nod.cifti import STRUCTURES, Grayordinates, open_labels
from trainables.spec.rois import NOD_ROIS

KEYS: Final[Mapping[str, int]] = {"V1": 1, "V2": 4, "V3": 5, "V4": 6}
"""Number of each area in the HCP-MMP atlas, without the offset N_AREAS of one hemisphere."""
N_AREAS: Final = 180
"""Areas per hemisphere. Releases differ in which hemisphere's labels have this offset."""
MATLAB_NAME: Final = "glasser_MMP"
"""Variable that holds the labels in .mat files of the atlas."""
MAX_LABELS: Final = 10**7
"""A larger array is no atlas: a small compressed file may hold one that fills the memory."""
_LABEL_NAME: Final = re.compile(r"(?:([LR])_)?(V[1-4])(?:_ROI)?")
_MEANINGLESS: Final = re.compile(
    r"[?]*|none|unknown|unassigned|background|medial.?wall|(label|area|key|region|roi|parcel)?\W*_?0*\d+",
    re.IGNORECASE,
)
"""Names that say nothing about an area: those that programs invent for labels without one."""
_SIDES: Final = {"L": "lh", "R": "rh"}

Regions = Mapping[str, Mapping[str, NDArray[np.int32]]]
"""For each hemisphere and ROI, its mesh vertices, ascending; possibly none."""
Labels = dict[str, tuple[NDArray[np.int32], NDArray[np.int64]]]
"""For each hemisphere, mesh vertices and their labels."""


def read_atlas(path: Path, known: Sequence[Grayordinates]) -> Regions:
    """Read the mesh vertices of V1, V2, V3 and V4.

    known: grayordinates of the subject's files. A .mat file has labels without vertices, which
    are assigned by their number. Raises InputError when the file can't be interpreted.
    """
    labels, names = read_labels(path, known)
    named = {key: match for key, name in names.items() if (match := _LABEL_NAME.fullmatch(name))}
    if named:
        return _by_name(path, labels, {key: (m[1], m[2]) for key, m in named.items()})
    check_unnamed(path, labels, names)
    check_sides(path, labels)
    return _pick(labels, {roi: [key, key + N_AREAS] for roi, key in KEYS.items()})


def read_labels(path: Path, known: Sequence[Grayordinates]) -> tuple[Labels, Mapping[int, str]]:
    """Read the label of each vertex, and the names of labels; a .mat file has no names.

    known: as for `read_atlas`. Raises InputError when the file can't be interpreted.
    """
    return _read_dlabel(path) if path.suffix == ".nii" else (_read_mat(path, known), {})


def _by_name(path: Path, labels: Labels, names: Mapping[int, tuple[str | None, str]]) -> Regions:
    """Select ROIs by the names of labels; raise InputError for labels of the other hemisphere."""
    for side, (_, keys) in labels.items():
        wrong = [key for key, (mark, _) in names.items() if mark and _SIDES[mark] != side]
        n_wrong = int(np.isin(keys, wrong).sum())
        if n_wrong:
            raise InputError(
                f"{path}: {n_wrong:,} vertices of {STRUCTURES[side]} have a label that names the "
                "other hemisphere; give the HCP-MMP labels on the 32k fsLR mesh"
            )
    of_roi = {roi: [key for key, (_, name) in names.items() if name == roi] for roi in NOD_ROIS}
    return _pick(labels, of_roi)


def _pick(labels: Labels, of_roi: Mapping[str, Sequence[int]]) -> Regions:
    return {
        side: {roi: np.sort(vertices[np.isin(keys, wanted)]) for roi, wanted in of_roi.items()}
        for side, (vertices, keys) in labels.items()
    }


def check_unnamed(path: Path, labels: Labels, names: Mapping[int, str]) -> None:
    """Raise InputError when labels in use have other names: their keys are of other areas."""
    used = np.unique(np.concatenate([keys for _, keys in labels.values()])).tolist()
    found = [names[key] for key in used if not _MEANINGLESS.fullmatch(names.get(key, "").strip())]
    if found:
        raise InputError(
            f"{path}: expected HCP-MMP labels, named L_V1_ROI, R_V2_ROI …, found "
            f"{listed(found)}: this is another parcellation; give the HCP-MMP labels"
        )


def check_sides(path: Path, labels: Labels) -> None:
    """Raise InputError unless one hemisphere's keys are 1 to 180, and the other's above it."""
    raised = set()
    for side, (_, keys) in labels.items():
        used = np.unique(keys[keys != 0])
        if not len(used) or used[0] < 0 or used[-1] > 2 * N_AREAS:
            found = f"{used[0]} to {used[-1]}" if len(used) else "none"
            raise InputError(
                f"{path}: expected labels from 1 to {2 * N_AREAS} in {STRUCTURES[side]}, found "
                f"{found}; give the HCP-MMP labels"
            )
        if used[0] <= N_AREAS < used[-1]:
            raise InputError(
                f"{path}: {STRUCTURES[side]} has labels up to {N_AREAS} and above it; expected k "
                f"in one hemisphere and {N_AREAS} + k in the other: give the labels in the order "
                "of the betas' grayordinates"
            )
        raised.add(bool(used[0] > N_AREAS))
    if len(raised) == 1:
        raise InputError(
            f"{path}: both hemispheres have labels {'above' if raised.pop() else 'up to'} "
            f"{N_AREAS}, without names; expected k in one and {N_AREAS} + k in the other, as "
            "HCP-MMP has it: give the HCP-MMP labels"
        )


def _read_dlabel(path: Path) -> tuple[Labels, Mapping[int, str]]:
    maps, names = open_labels(path, "atlas")
    values, places = maps.values()[0], maps.grayordinates
    labels = {side: _integers(path, values[places.columns[side]]) for side in STRUCTURES}
    return {side: (places.vertices[side], keys) for side, keys in labels.items()}, names


def _read_mat(path: Path, known: Sequence[Grayordinates]) -> Labels:
    variables = _load_mat(path)
    fitting: list[tuple[str, Labels]] = []
    for name, values in variables.items():
        for places in known:
            labels = _place(path, values.reshape(-1), places)
            if labels is not None:
                fitting.append((name, labels))
                break
    chosen = [pair for pair in fitting if pair[0] == MATLAB_NAME] or fitting
    if len(chosen) != 1:
        held = ", ".join(f"{name} of {v.size:,}" for name, v in variables.items()) or "no array"
        counts = sorted({n for p in known for n in (len(p.cortex), p.n_columns)})
        raise InputError(
            f"{path}: expected one array of labels, as long as the betas or the pRF file have "
            f"grayordinates ({' or '.join(f'{n:,}' for n in counts)}), found {held}; "
            "give another --atlas"
        )
    return chosen[0][1]


def _place(path: Path, values: NDArray[Any], places: Grayordinates) -> Labels | None:
    """Assign labels to vertices if there is one per cortical or per grayordinate; else None."""
    if values.size == len(places.cortex):
        full = np.zeros(places.n_columns)
        full[places.cortex] = values
    elif values.size == places.n_columns:
        full = values
    else:
        return None
    return {
        side: (places.vertices[side], _integers(path, full[places.columns[side]]))
        for side in STRUCTURES
    }


def _load_mat(path: Path) -> dict[str, NDArray[Any]]:
    """Load the numeric arrays of a MATLAB file, of at most MAX_LABELS numbers."""
    from scipy.io import loadmat, whosmat  # only this kind of atlas needs it

    try:
        small = [name for name, shape, _ in whosmat(path) if math.prod(shape) <= MAX_LABELS]
        content = loadmat(path, variable_names=small)
    except Exception as error:  # a damaged file raises nearly anything
        raise InputError(
            f"{path}: expected the atlas as a MATLAB file up to version 7, found a damaged or "
            f"other file ({' '.join(str(error).split())[:80]}); save it again with -v7"
        ) from error
    return {
        name: value
        for name, value in content.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "iufb" and value.size > 1
    }


def _integers(path: Path, values: NDArray[Any]) -> NDArray[np.int64]:
    if not np.isfinite(values).all() or (values != np.rint(values)).any():
        raise InputError(
            f"{path}: expected whole numbers as labels, found others; give another --atlas"
        )
    whole: NDArray[np.int64] = values.astype(np.int64)
    return whole
