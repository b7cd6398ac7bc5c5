"""The cortex of simulated subjects: numbers of vertices and their ROIs.

Sizes vary as widely as in NSD: one ROI has 4 vertices, one is empty in some subjects, some vertices
belong to several ROIs or to none, and some subjects have fewer vertices than others.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from trainables.spec.rois import HEMISPHERES, ROI_FAMILIES, STREAMS

Array = np.ndarray[Any, np.dtype[Any]]

N_FSAVERAGE: Final = 163_842
"""Vertices of a hemisphere of the fsaverage mesh."""
N_VERTICES: Final[Mapping[str, int]] = {"lh": 1080, "rh": 1100}
"""Vertices of a hemisphere in challenge space."""
N_MISSING: Final[Mapping[int, int]] = {3: 13, 6: 26, 8: 23}
"""Number of missing vertices by subject number, as in NSD's subjects 6 and 8."""

ROI_SIZES: Final[Mapping[str, int]] = {
    **{"V1v": 120, "V1d": 120, "V2v": 100, "V2d": 100, "V3v": 80, "V3d": 80, "hV4": 80},
    **{"EBA": 60, "FBA-1": 18, "FBA-2": 14, "mTL-bodies": 6},
    **{"OFA": 14, "FFA-1": 30, "FFA-2": 12, "mTL-faces": 6, "aTL-faces": 4},
    **{"OPA": 24, "PPA": 30, "RSC": 18},
    **{"OWFA": 8, "VWFA-1": 14, "VWFA-2": 8, "mfs-words": 7, "mTL-words": 5},
}
"""Vertices whose responses each ROI determines; from LARGE on, the size varies by a tenth between
subjects."""
LARGE: Final = 20
EMPTY: Final[Mapping[str, tuple[int, ...]]] = {"mTL-bodies": (2, 6)}
"""Subjects in which an ROI is empty."""
OVERLAPS: Final = (("FFA-1", "FBA-1"), ("EBA", "OPA"), ("hV4", "OWFA"))
"""Pairs of overlapping ROIs: a quarter of the first one's vertices also belong to the second."""
STREAM_OF: Final[Mapping[str, str]] = {
    **dict.fromkeys(("V1v", "V1d", "V2v", "V2d", "V3v", "V3d"), "early"),
    "hV4": "midventral",
    **dict.fromkeys(("FFA-1", "FFA-2", "FBA-1", "FBA-2", "PPA", "VWFA-1", "VWFA-2"), "ventral"),
    **dict.fromkeys(("EBA", "OFA"), "lateral"),
    "OPA": "parietal",
}
"""The stream that also contains four fifths of an ROI's vertices."""
STREAM_ONLY: Final[Mapping[str, int]] = {"midlateral": 12, "midparietal": 10, "parietal": 10}
"""Vertices that belong to a stream and to no other ROI."""
HOMES: Final = (*ROI_SIZES, *STREAM_ONLY)
"""ROIs and streams that determine responses."""


@dataclass(frozen=True)
class Cortex:
    """One hemisphere of one simulated subject."""

    home: tuple[str | None, ...]
    """The ROI or stream that determines each vertex's responses; None for noise only."""
    labels: Mapping[str, Array]
    """For each mask family, (n_vertices,) int32: 0, or 1 + the ROI's index in the family."""
    fsaverage: Array
    """(n_vertices,) fsaverage vertex of each vertex, ascending."""

    @property
    def n_vertices(self) -> int:
        """Count the columns of the hemisphere's responses."""
        return len(self.home)

    def members(self, roi: str) -> Array:
        """List an ROI's vertices, ascending."""
        family = next(name for name, rois in ROI_FAMILIES.items() if roi in rois)
        return np.flatnonzero(self.labels[family] == 1 + ROI_FAMILIES[family].index(roi))

    def homes(self, roi: str) -> Array:
        """List the vertices whose responses an ROI determines, ascending."""
        return np.flatnonzero(np.array([home == roi for home in self.home]))


def build_cortex(
    seed: int, subject: int, hemisphere: str, homes: Collection[str] = HOMES
) -> Cortex:
    """Lay out one hemisphere: ROIs are bands around the occipital pole, as neighbours on the mesh.

    Columns follow the numbers of the mesh's vertices, which scatters an ROI over them.
    homes: the ROIs that determine responses; the vertices of others have only noise and no label.
    """
    rng = np.random.default_rng([seed, subject, HEMISPHERES.index(hemisphere), 2])
    n_vertices = N_VERTICES[hemisphere] - N_MISSING.get(subject, 0)
    fsaverage = _occipital(hemisphere, n_vertices)
    placed = _place(_sizes(rng, subject), _coordinates(hemisphere)[fsaverage])
    home = tuple(roi if roi in homes else None for roi in placed)
    return Cortex(home=home, labels=_label(home, rng), fsaverage=fsaverage)


@lru_cache(maxsize=2)
def _coordinates(hemisphere: str) -> Array:
    """Load where the vertices of fsaverage5 lie: (10242, 3) rightwards, forwards, upwards."""
    from nilearn.datasets import load_fsaverage  # seconds to import

    side = {"lh": "left", "rh": "right"}[hemisphere]
    coordinates: Array = load_fsaverage("fsaverage5")["pial"].parts[side].coordinates
    return coordinates


def _occipital(hemisphere: str, n_vertices: int) -> Array:
    """Return the most posterior vertices of fsaverage5, as vertices of fsaverage."""
    forwards = _coordinates(hemisphere)[:, 1]
    return np.sort(np.argsort(forwards, kind="stable")[:n_vertices])


def _place(sizes: Mapping[str, int], coordinates: Array) -> list[str | None]:
    """Assign each vertex an ROI by its distance from the most posterior one, V1 first.

    The ventral and the dorsal part of an area share a band: the lower and the upper vertices.
    """
    pole = coordinates[np.argmin(coordinates[:, 1])]
    outwards = np.argsort(np.linalg.norm(coordinates - pole, axis=1), kind="stable")
    placed: list[str | None] = [None] * len(coordinates)
    start = 0
    for roi, size in sizes.items():
        other = f"{roi[:-1]}d" if roi.endswith("v") else ""
        if roi.endswith("d") and f"{roi[:-1]}v" in sizes:
            continue  # placed with its ventral part
        band = outwards[start : start + size + sizes.get(other, 0)]
        start += len(band)
        upwards = band[np.argsort(coordinates[band, 2], kind="stable")]
        for rank, vertex in enumerate(upwards.tolist()):
            placed[vertex] = roi if rank < size else other
    return placed


def _sizes(rng: np.random.Generator, subject: int) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for roi, size in ROI_SIZES.items():
        varied = round(size * rng.uniform(0.9, 1.1)) if size >= LARGE else size
        sizes[roi] = 0 if subject in EMPTY.get(roi, ()) else varied
    return {**sizes, **STREAM_ONLY}


def _label(home: tuple[str | None, ...], rng: np.random.Generator) -> dict[str, Array]:
    labels = {family: np.zeros(len(home), np.int32) for family in ROI_FAMILIES}

    def mark(roi: str, of: str, share: float) -> None:
        places = np.flatnonzero(np.array([name == of for name in home]))
        chosen = rng.permutation(places)[: round(share * len(places))]
        family = next(name for name, rois in ROI_FAMILIES.items() if roi in rois)
        labels[family][chosen] = 1 + ROI_FAMILIES[family].index(roi)

    for roi in HOMES:
        mark(roi, roi, 1.0)
    for roi, second in OVERLAPS:
        if second in home:
            mark(second, roi, 0.25)
    for roi, stream in STREAM_OF.items():
        mark(stream, roi, 0.8)
    return labels


def mapping_label(roi: str) -> str:
    """Return an ROI's name as in NSD's mapping files, some of which end in a space."""
    return f"{roi} " if roi.startswith("m") and roi not in STREAMS else roi
