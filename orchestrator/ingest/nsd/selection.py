"""Choose the vertices that are read, and carry ROIs over to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.nsd.rois import Regions, Rois
from orchestrator.ingest.nsd.settings import VertexChoice
from orchestrator.ingest.nsd.spaces import Vertices


def choose_vertices(
    choice: VertexChoice, rois: Rois, general: Rois | None, where: Path
) -> dict[str, NDArray[np.int32]]:
    """Choose the vertices of each hemisphere, ascending.

    nsdgeneral: those of that ROI, which general holds; rois: those of any ROI; all: of the cortex.
    Raises InputError, naming a folder, when a hemisphere has none.
    """
    chosen = {}
    for side, is_cortex in rois.cortex.items():
        if choice == "all":
            vertices = np.flatnonzero(is_cortex)
        else:
            regions = (general if choice == "nsdgeneral" and general else rois).regions[side]
            vertices = np.unique(np.concatenate([np.empty(0, np.int32), *regions.values()]))
        if not len(vertices):
            raise InputError(
                f"{where}: --vertices {choice} selects no vertex of {side}; choose others, or "
                "download the labels again"
            )
        chosen[side] = vertices.astype(np.int32)
    return chosen


@dataclass(frozen=True)
class Carried:
    """ROIs among chosen vertices."""

    regions: Mapping[str, Regions]
    """Of each hemisphere, the places of each ROI's vertices among the chosen ones, ascending."""
    lost: Mapping[str, int]
    """Of each ROI that has vertices outside, by ``lh V1v``, how many."""


def carry_regions(regions: Mapping[str, Regions], vertices: Vertices) -> Carried:
    """Restrict ROIs to chosen vertices, and count the others; ROIs without any are left out."""
    carried: dict[str, Regions] = {}
    lost: dict[str, int] = {}
    for side, of_side in regions.items():
        carried[side] = {}
        for name, members in of_side.items():
            places = np.flatnonzero(np.isin(vertices[side], members)).astype(np.int32)
            if len(places) < len(members):
                lost[f"{side} {name}"] = len(members) - len(places)
            if len(places):
                carried[side][name] = places
    return Carried(carried, lost)
