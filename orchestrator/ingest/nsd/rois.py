"""Read the ROIs of NSD's families in the space of the betas."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Findings
from orchestrator.ingest.nsd.colour_tables import read_roi_names
from orchestrator.ingest.nsd.families import Family
from orchestrator.ingest.nsd.surface_maps import read_carried_from, read_surface_labels
from orchestrator.ingest.nsd.volumes import NO_CORTEX, Shape, read_volume_labels
from orchestrator.ingest.regions import regions_of
from trainables.spec.rois import HEMISPHERES, ROI_ORDER

Labels = NDArray[np.int32]
Regions = dict[str, NDArray[np.int32]]
"""The vertices, or the places of voxels, of each ROI of a hemisphere, ascending."""


@dataclass(frozen=True)
class Rois:
    """The ROIs of both hemispheres."""

    regions: Mapping[str, Regions]
    """Of each hemisphere, in ROI_ORDER, other ROIs after those in their families' order."""
    n_vertices: Mapping[str, int]
    """Vertices, or places, of each hemisphere."""
    cortex: Mapping[str, NDArray[np.bool_]]
    """Of each hemisphere, which of them are cortex: all vertices of a surface."""


def read_surface_rois(
    families: Sequence[Family], n_vertices: Mapping[str, int] | None, findings: Findings
) -> Rois | None:
    """Read the ROIs of a surface; note what is wrong in findings, and return None if anything is.

    n_vertices: of the betas of each hemisphere; None where they could not be read.
    """

    def labels_of(family: Family, side: str) -> Labels:
        expected = n_vertices[side] if n_vertices else None
        if family.carried_by is None:
            return read_surface_labels(family.labels[side], expected)
        native = read_surface_labels(family.labels[side])
        return native[read_carried_from(family.carried_by[side], expected, len(native))]

    return _read(families, labels_of, findings)


def read_volume_rois(
    families: Sequence[Family], shape: Shape | None, findings: Findings
) -> Rois | None:
    """Read the ROIs of a volume; note what is wrong in findings, and return None if anything is.

    shape: X, Y, Z of the betas; None where they could not be read. A family with one file for both
    hemispheres is divided by the cortex of each, which the files of other families have.
    """
    cortex: dict[str, NDArray[np.bool_]] = {}

    def labels_of(family: Family, side: str) -> Labels:
        if family.merged is None:
            labels = read_volume_labels(family.labels[side], shape)
            cortex[side] = cortex.get(side, False) | (labels > NO_CORTEX)
            return labels
        if side not in cortex:
            raise InputError(
                f"{family.merged}: has both hemispheres, and no {side}.NAME.nii.gz beside it tells "
                f"which voxels are in {side}; download one, of any ROI family"
            )
        return np.where(cortex[side], read_volume_labels(family.merged, shape), NO_CORTEX)

    apart_first = sorted(families, key=lambda family: family.merged is not None)
    rois = _read(apart_first, labels_of, findings)
    return None if rois is None else Rois(rois.regions, rois.n_vertices, cortex)


def _read(
    families: Sequence[Family], labels_of: Callable[[Family, str], Labels], findings: Findings
) -> Rois | None:
    before = len(findings.complaints)
    regions: dict[str, Regions] = {side: {} for side in HEMISPHERES}
    n_vertices: dict[str, int] = {}
    for family in families:
        names = findings.attempt(read_roi_names, family.names, family.name)
        for side in HEMISPHERES:
            labels = findings.attempt(labels_of, family, side)
            if labels is None:
                continue
            findings.attempt(_same_length, family, side, labels, n_vertices)
            found = findings.attempt(_regions, family, side, labels, names) or {}
            findings.attempt(_distinct, family, found, regions[side])
            regions[side] |= found
    if len(findings.complaints) > before:
        return None
    return Rois(
        {side: _ordered(found) for side, found in regions.items()},
        n_vertices,
        {side: np.ones(n, bool) for side, n in n_vertices.items()},
    )


def _regions(family: Family, side: str, labels: Labels, names: Mapping[int, str] | None) -> Regions:
    path = family.merged or family.labels[side]
    return {} if names is None else regions_of(path, labels, names, family.names.name)


def _same_length(family: Family, side: str, labels: Labels, n_vertices: dict[str, int]) -> None:
    expected = n_vertices.setdefault(side, len(labels))
    if len(labels) != expected:
        raise InputError(
            f"{family.merged or family.labels[side]}: labels of {len(labels):,} vertices, other "
            f"families of {side} have {expected:,}; download them again, for the same subject"
        )


def _distinct(family: Family, found: Regions, others: Mapping[str, Any]) -> None:
    twice = [name for name in found if name in others]
    if twice:
        raise InputError(
            f"{family.names}: {', '.join(twice)} is also an ROI of another family; leave one of "
            "them out of --families"
        )


def _ordered(regions: Regions) -> Regions:
    known = [name for name in ROI_ORDER if name in regions]
    return {name: regions[name] for name in (*known, *(n for n in regions if n not in known))}
