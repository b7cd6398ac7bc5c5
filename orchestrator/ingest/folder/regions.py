"""The ROIs of a subject: a long table, masks, or a column of neuroids.csv."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.arrays import read_labels
from orchestrator.ingest.entries import list_entries
from orchestrator.ingest.folder.columns import read_columns, require_filled
from orchestrator.ingest.folder.neuroids import Neuroids
from trainables.spec.fields import NAME_RULE, is_name
from trainables.spec.rois import HEMISPHERES
from trainables.wording import some

TABLE: Final = "rois.csv"
MASKS: Final = "rois"

Members = Mapping[str, NDArray[np.intp]]
"""The columns of the responses that each ROI has, ascending."""


def read_regions(folder: Path, neuroids: Neuroids) -> Members:
    """Read a subject's ROIs; raise InputError where there is none, or several sources of them."""
    table, masks = folder / TABLE, folder / MASKS
    there = [path for path in (table, masks) if path.exists()]
    if len(there) > 1:
        raise InputError(f"{table}: there is {masks} too; keep one of them")
    if masks.is_dir():
        found, where = _read_masks(masks, neuroids), masks
    elif table.exists():
        found, where = _read_table(table, neuroids), table
    else:
        found, where = _of_column(neuroids), neuroids.path
    strange = [name for name in found if not is_name(name)]
    if strange:
        raise InputError(
            f"{where}: an ROI is named {strange[0]!r}; expected {NAME_RULE}: rename it"
        )
    if not found:
        raise InputError(
            f"{folder}: no ROI with a neuroid; list them in {TABLE} (neuroid_id, roi), in masks "
            f"{MASKS}/NAME.npy, or in a column region of neuroids.csv"
        )
    return found


def _read_table(path: Path, neuroids: Neuroids) -> Members:
    columns = read_columns(path, "ROIs", ("neuroid_id", "roi"))
    require_filled(path, columns, ("neuroid_id", "roi"))
    places = {name: place for place, name in enumerate(neuroids.ids)}
    named = columns["neuroid_id"]
    unknown = [name for name in dict.fromkeys(named) if name not in places]
    if unknown:
        raise InputError(f"{path}: not in {neuroids.path.name}: {some(unknown)}; correct the ids")
    members: dict[str, set[int]] = {}
    for name, roi in zip(named, columns["roi"], strict=True):
        members.setdefault(roi, set()).add(places[name])
    return {roi: np.array(sorted(found)) for roi, found in members.items()}


def _of_column(neuroids: Neuroids) -> Members:
    """Read the names of each neuroid, several of them with semicolons between them."""
    members: dict[str, list[int]] = {}
    for place, names in enumerate(neuroids.region or ()):
        for roi in filter(None, map(str.strip, names.split(";"))):
            members.setdefault(roi, []).append(place)
    return {roi: np.array(members[roi]) for roi in sorted(members)}


def _read_masks(folder: Path, neuroids: Neuroids) -> Members:
    """Read masks NAME.npy of all columns, and lh.NAME.npy, rh.NAME.npy of a hemisphere's."""
    members: dict[str, list[NDArray[np.intp]]] = {}
    for path in list_entries(folder).kept:
        if path.suffix != ".npy":
            raise InputError(f"{path}: expected masks as .npy; save it so, or move it elsewhere")
        side, _, rest = path.stem.partition(".")
        roi, columns = path.stem, np.arange(len(neuroids.ids))
        if side in HEMISPHERES and rest:
            if side not in neuroids.sides:
                raise InputError(
                    f"{path}: a mask of {side}, but no neuroid is in {side}; give hemispheres in "
                    "neuroids.csv, or rename the mask"
                )
            roi, columns = rest, neuroids.sides[side]
        labels = read_labels(path, len(columns))
        members.setdefault(roi, []).append(columns[np.flatnonzero(labels)])
    joined = {roi: np.unique(np.concatenate(parts)) for roi, parts in members.items()}
    return {roi: found for roi, found in joined.items() if len(found)}
