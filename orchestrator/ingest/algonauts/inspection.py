"""Check a whole source before anything is written, and list every problem."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.algonauts.files import DATASET, SubjectFiles
from orchestrator.ingest.algonauts.mappings import read_mapping
from orchestrator.ingest.arrays import (
    check_finite,
    listed,
    open_responses,
    read_labels,
    read_mesh,
)
from orchestrator.ingest.checked import Findings, Hemisphere, Responses, Subject
from orchestrator.ingest.copies import inspect_images
from orchestrator.ingest.entries import left_out, list_entries
from orchestrator.ingest.noise_ceilings import read_ceiling
from orchestrator.ingest.regions import NO_LABEL, regions_of
from orchestrator.ingest.splits import split_images
from trainables.spec.rois import HEMISPHERES, ROI_FAMILIES, ROI_ORDER

Side = Literal["train", "test"]
IMAGE_NAMES: Final[Mapping[Side, re.Pattern[str]]] = {
    "train": re.compile(r"train-([0-9]+)_(nsd-[0-9]+)\.png"),
    "test": re.compile(r"test-([0-9]+)_(nsd-[0-9]+)\.png"),
}
"""Names of the challenge's training and test images: place, and stimulus."""


def inspect_subject(
    files: SubjectFiles, split: str, findings: Findings, looked: Callable[[int], None]
) -> Subject | None:
    """Check one subject's files; note what is wrong in findings, and return None if anything is.

    looked: called with the number of images checked since the last call.
    """
    before = len(findings.complaints)
    images = findings.attempt(list_images, files.images)
    stimuli = findings.attempt(read_stimuli, files.images, images) if images else None
    chosen = findings.attempt(split_images, split, stimuli) if stimuli else None
    inspect_images(images or [], chosen, findings, looked)
    findings.notes += left_out(list_entries(files.images).strangers)
    names = {
        family: findings.attempt(read_names, path, family)
        for family, path in files.mappings.items()
    }
    findings.attempt(check_families, files)
    n_images = len(images) if images else None
    hemispheres = {
        name: _inspect_hemisphere(name, files, names, n_images, findings) for name in HEMISPHERES
    }
    if len(findings.complaints) > before or not images or not stimuli or not chosen:
        return None
    checked = {name: found for name, found in hemispheres.items() if found is not None}
    return Subject(
        dataset=DATASET,
        subject=files.subject,
        shard=files.shard,
        images=tuple(images),
        stimuli=stimuli,
        hemispheres=checked,
        responses=partial(map_responses, files.responses),
        split=chosen,
        source=files.digest(),
    )


def _inspect_hemisphere(
    name: str,
    files: SubjectFiles,
    names: Mapping[str, dict[int, str] | None],
    n_images: int | None,
    findings: Findings,
) -> Hemisphere | None:
    path = files.responses[name]
    responses = findings.attempt(_open_in_order, path, n_images)
    n_vertices = None
    if responses is not None:
        n_vertices = responses.shape[1]
        if n_images is not None:
            findings.attempt(check_count, path, len(responses), files.images, n_images)
    regions: dict[str, NDArray[np.int32]] = {}
    for (hemisphere, family), mask in files.masks.items():
        if hemisphere == name:
            regions |= findings.attempt(read_regions, mask, n_vertices, names[family]) or {}
    if responses is not None:
        note = findings.attempt(check_finite, path, responses, regions.values())
        findings.notes += [note] if note else []
    mesh, ceiling = files.meshes.get(name), files.noise_ceilings.get(name)
    fsaverage = findings.attempt(read_mesh, mesh, n_vertices) if mesh else None
    noise_ceiling = (
        findings.attempt(read_ceiling, ceiling, n_vertices, files.repeats) if ceiling else None
    )
    if n_vertices is None:
        return None
    ordered = {roi: regions[roi] for roi in ROI_ORDER if roi in regions}
    return Hemisphere(n_vertices, ordered, fsaverage, noise_ceiling)


def _open_in_order(path: Path, n_images: int | None) -> NDArray[np.floating[Any]]:
    """Map responses, (n_images, n_vertices); raise InputError where the axes are exchanged."""
    responses = open_responses(path)
    n_rows, n_columns = responses.shape
    if n_columns == n_images != n_rows:
        raise InputError(
            f"{path}: expected responses of (images, vertices), with {n_images:,} images, found "
            f"({n_rows}, {n_columns}): the axes are in another order; save them transposed"
        )
    return responses


def map_responses(paths: Mapping[str, Path]) -> Responses:
    """Map the response matrix of each hemisphere into memory."""
    return {name: np.load(path, mmap_mode="r") for name, path in paths.items()}


def list_images(folder: Path, side: Side = "train") -> list[Path]:
    """List a subject's images in row order, which is file-name order.

    side: training images, or the challenge's test images.

    Raises InputError when the folder is missing or empty, or holds a file of another name.
    """
    what = "training images" if side == "train" else "test images"
    if not folder.is_dir():
        raise InputError(f"{folder}: the folder of {what} is missing; download it again")
    entries = list_entries(folder)
    entries.require_finished()
    paths = list(entries.kept)
    if not paths:
        raise InputError(f"{folder}: expected {what}, found none; download them again")
    strange = [path for path in paths if not IMAGE_NAMES[side].fullmatch(path.name)]
    if strange:
        raise InputError(
            *(
                f"{path}: expected a name such as {side}-0001_nsd-00013.png; move it elsewhere, "
                "or give it the name it was downloaded with"
                for path in strange
            )
        )
    return paths


def read_stimuli(folder: Path, images: Sequence[Path], side: Side = "train") -> tuple[str, ...]:
    """Read the stimulus id of each image, ``nsd-00013``, from its name.

    Raises InputError when a stimulus comes twice, or names and numbers disagree about the order.
    """
    matches = [IMAGE_NAMES[side].fullmatch(path.name) for path in images]
    numbers = [int(match[1]) for match in matches if match]
    stimuli = tuple(match[2] for match in matches if match)
    lines = [
        f"{folder}: stimulus {stimulus} comes {count} times; remove all its images but one, "
        "with their rows of the responses"
        for stimulus, count in Counter(stimuli).items()
        if count > 1
    ]
    falls = [
        path.name for path, a, b in zip(images[1:], numbers, numbers[1:], strict=False) if b <= a
    ]
    if falls:
        lines.append(
            f"{folder}: in name order the numbers fall back at {listed(falls)}, so images and "
            "response rows can't be matched; give each number once, with leading zeros"
        )
    if lines:
        raise InputError(*lines)
    return stimuli


def read_names(path: Path, family: str) -> dict[int, str]:
    """Read the ROI name of each label of a family.

    Raises InputError for a name that the family does not have, or has under two labels.
    """
    names = {label: name for label, name in read_mapping(path).items() if label != NO_LABEL}
    known = ROI_FAMILIES[family]
    lines = [
        f"{path}: label {label} is named {name!r}; expected one of {', '.join(known)}: "
        "correct the mapping"
        for label, name in names.items()
        if name not in known
    ]
    lines += [
        f"{path}: {name} is the name of {count} labels; expected one: correct the mapping"
        for name, count in Counter(names.values()).items()
        if count > 1
    ]
    if lines:
        raise InputError(*lines)
    return names


def read_regions(
    mask: Path, n_vertices: int | None, names: Mapping[int, str] | None
) -> dict[str, NDArray[np.int32]]:
    """Read the vertices of each ROI of a mask, ascending; ROIs without vertices are left out.

    names: of the labels; None, where they could not be read, gives no ROIs.
    Raises InputError when the mask is not a mask, or uses a label that has no name.
    """
    labels = read_labels(mask, n_vertices)
    if names is None:
        return {}
    return regions_of(mask, labels, names, "the mapping")


def check_count(path: Path, n_rows: int, folder: Path, n_images: int) -> None:
    """Raise InputError when there are not as many response rows as images."""
    if n_rows != n_images:
        raise InputError(
            f"{path}: {n_rows:,} rows of responses, but {n_images:,} images in {folder}; "
            "download the smaller one again"
        )


def check_families(files: SubjectFiles) -> None:
    """Raise InputError when there is no ROI family, or the mesh of one hemisphere only."""
    if not files.masks:
        raise InputError(f"{files.roi_masks}: no ROI masks there; download them")
    if len(files.meshes) == 1:
        (hemisphere,) = set(HEMISPHERES) - set(files.meshes)
        raise InputError(
            f"{files.roi_masks}: {hemisphere}.all-vertices_fsaverage_space.npy is missing, the "
            "other hemisphere's is there; download it, or remove both"
        )
