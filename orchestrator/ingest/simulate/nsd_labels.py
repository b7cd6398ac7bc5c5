"""Write the ROIs of a simulated NSD subject: labels, their names, and the way to fsaverage.

As in the release, nsdgeneral is on fsaverage, the same for all subjects, and all families are on a
subject's own surface, from where a transform carries them. That surface's vertices are those of
fsaverage in a random order, and some more.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from nibabel.freesurfer.mghformat import MGHImage

from orchestrator.ingest.simulate.algonauts import subject_name
from orchestrator.ingest.simulate.cortex import build_cortex
from orchestrator.ingest.simulate.nsd_ground_truth import N_MESH, PlantedVertices
from trainables.spec.rois import HEMISPHERES, ROI_FAMILIES

Array = np.ndarray[Any, np.dtype[Any]]

WITHOUT_MISSING: Final = 1
"""A subject that has all vertices of nsdgeneral."""
N_NATIVE: Final = 10_300
"""Vertices of a hemisphere of a subject's own surface."""
NSDGENERAL: Final = "nsdgeneral"
ALIASES: Final = {"Kastner2015": "prf-visualrois"}
"""Families that have the labels and names of another one: two families have an ROI V1v."""


def native_vertices(seed: int, subject: int, hemisphere: str) -> Array:
    """Return the vertex of the subject's own surface, from 0, of each of fsaverage: (N_MESH,)."""
    rng = np.random.default_rng([seed, subject, HEMISPHERES.index(hemisphere), 13])
    return rng.permutation(N_NATIVE)[:N_MESH]


def label_names(family: str) -> tuple[str, ...]:
    """Return the names of a family's labels from 1 on."""
    return ROI_FAMILIES.get(ALIASES.get(family, family), (family,))


def family_labels(planted: PlantedVertices) -> dict[str, Array]:
    """Return the labels of each family, also of nsdgeneral: (n_vertices,) int32, 0 for none."""
    cortex = planted.cortex
    others = {family: cortex.labels[same] for family, same in ALIASES.items()}
    return {**cortex.labels, **others, NSDGENERAL: np.ones(cortex.n_vertices, np.int32)}


def write_nsdgeneral(root: Path, seed: int) -> None:
    """Write nsdgeneral on fsaverage, whose vertices every subject has, perhaps without data."""
    folder = root / "nsddata" / "freesurfer" / "fsaverage" / "label"
    folder.mkdir(parents=True)
    _write_names(folder / f"{NSDGENERAL}.mgz.ctab", NSDGENERAL)
    for side in HEMISPHERES:
        mesh = np.zeros(N_MESH, np.int32)
        mesh[general_vertices(seed, side)] = 1
        save_mgh(folder / f"{side}.{NSDGENERAL}.mgz", mesh)


def general_vertices(seed: int, hemisphere: str) -> Array:
    """Return the vertices of nsdgeneral on fsaverage: those of a subject that lacks none."""
    return build_cortex(seed, WITHOUT_MISSING, hemisphere).fsaverage


def write_labels(
    root: Path, subject: int, planted: Mapping[str, PlantedVertices], seed: int
) -> None:
    """Write a subject's labels on its own surface, their names, and the way to fsaverage."""
    name = subject_name(subject)
    native = root / "nsddata" / "freesurfer" / name / "label"
    transforms = root / "nsddata" / "ppdata" / name / "transforms"
    for folder in (native, transforms):
        folder.mkdir(parents=True, exist_ok=True)
    for side, half in planted.items():
        own = native_vertices(seed, subject, side)
        save_mgh(transforms / f"{side}.white-to-fsaverage.mgz", (own + 1).astype(np.int32))
        for family, labels in family_labels(half).items():
            mesh = np.zeros(N_MESH, np.int32)
            mesh[half.cortex.fsaverage] = labels
            surface = np.zeros(N_NATIVE, np.int32)
            surface[own] = mesh
            save_mgh(native / f"{side}.{family}.mgz", surface)
            _write_names(native / f"{family}.mgz.ctab", family)


def _write_names(path: Path, family: str) -> None:
    """Write a colour table with the release's mixture of spaces, tabs and trailing blanks."""
    lines = ["0 Unknown", *(f"{k}\t{roi} " for k, roi in enumerate(label_names(family), start=1))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def save_mgh(path: Path, values: Array) -> None:
    """Write one value per vertex as an MGH file, compressed where its name ends in .mgz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    MGHImage(values.reshape(-1, 1, 1), np.eye(4)).to_filename(path)
