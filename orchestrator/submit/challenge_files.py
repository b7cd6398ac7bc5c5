"""What the Algonauts 2023 challenge asks of a subject, and what is needed to score it.

The test images are in either layout of the folder (`orchestrator.ingest.algonauts.files`). Test
responses and noise ceilings are where the challenge has published them::

    DIR/subj01/test_split/test_fmri/{lh,rh}_test_fmri.npy
    DIR/subj01/test_split/noise_ceiling/{lh,rh}_noise_ceiling.npy
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import lexists
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.algonauts.files import SubjectFiles
from orchestrator.ingest.algonauts.inspection import (
    IMAGE_NAMES,
    check_count,
    check_families,
    list_images,
    read_names,
    read_regions,
    read_stimuli,
)
from orchestrator.ingest.arrays import listed, open_array, open_responses
from orchestrator.ingest.checked import Findings
from trainables.spec.rois import ALL_VERTICES, HEMISPHERES


@dataclass(frozen=True)
class Counts:
    """What a subject has in the challenge."""

    n_images: int
    """Test images."""
    n_vertices: Mapping[str, int]
    """Of each hemisphere, in challenge space."""


_USUAL: Final = {"lh": 19004, "rh": 20544}
COUNTS: Final[Mapping[str, Counts]] = {
    "subj01": Counts(159, _USUAL),
    "subj02": Counts(159, _USUAL),
    "subj03": Counts(293, _USUAL),
    "subj04": Counts(395, _USUAL),
    "subj05": Counts(159, _USUAL),
    "subj06": Counts(293, {"lh": 18978, "rh": 20220}),
    "subj07": Counts(159, _USUAL),
    "subj08": Counts(395, {"lh": 18981, "rh": 20530}),
}
"""Every measured subject; simulated ones have other counts."""


@dataclass(frozen=True)
class Measured:
    """The responses that a hemisphere's predictions are scored with."""

    responses: NDArray[Any]
    """(n_images, n_vertices)."""
    noise_ceiling: NDArray[Any]
    """(n_vertices,) share of the variance that a perfect model explains, from 0 to 1."""


@dataclass(frozen=True)
class ChallengeHemisphere:
    """One hemisphere of a subject in challenge space."""

    n_vertices: int
    regions: Mapping[str, NDArray[np.int32]]
    """The vertices of each ROI, ascending."""
    measured: Measured | None

    def vertices_of(self, roi_name: str) -> NDArray[np.int32] | None:
        """Return an ROI's vertices, ascending; None for an ROI that is not there."""
        if roi_name == ALL_VERTICES:
            return np.arange(self.n_vertices, dtype=np.int32)
        return self.regions.get(roi_name)


@dataclass(frozen=True)
class ChallengeSubject:
    """What the challenge asks of a subject."""

    subject: str
    images: Path
    """The folder of its test images."""
    n_images: int
    hemispheres: Mapping[str, ChallengeHemisphere]


def inspect_subject(
    files: SubjectFiles, test_responses: Path | None, findings: Findings, *, simulated: bool
) -> ChallengeSubject | None:
    """Check a subject's test images, masks and test responses.

    test_responses: the folder of the responses, or None not to score. Notes what is wrong in
    findings, and returns None if anything is.
    """
    before = len(findings.complaints)
    images = findings.attempt(_list_test_images, files.test_images)
    findings.attempt(check_families, files)
    names = {
        family: findings.attempt(read_names, path, family)
        for family, path in files.mappings.items()
    }
    hemispheres = {
        name: findings.attempt(_read_hemisphere, name, files, names, images, test_responses)
        for name in HEMISPHERES
    }
    read = {name: one for name, one in hemispheres.items() if one is not None}
    if images and len(read) == len(HEMISPHERES) and not simulated:
        findings.attempt(_check_counts, files, len(images), read)
    if len(findings.complaints) > before or images is None:
        return None
    return ChallengeSubject(files.subject, files.test_images, len(images), read)


def _list_test_images(folder: Path) -> list[Path]:
    """List the test images; raise InputError where one is missing between them."""
    images = list_images(folder, "test")
    read_stimuli(folder, images, "test")
    matches = [IMAGE_NAMES["test"].fullmatch(path.name) for path in images]
    numbers = {int(match[1]) for match in matches if match}
    missing = [str(k) for k in range(1, max(numbers) + 1) if k not in numbers]
    if missing:
        raise InputError(
            f"{folder}: test images are missing between the first and the last, number "
            f"{listed(missing)}; download them again"
        )
    return images


def _read_hemisphere(
    name: str,
    files: SubjectFiles,
    names: Mapping[str, dict[int, str] | None],
    images: Sequence[Path] | None,
    test_responses: Path | None,
) -> ChallengeHemisphere:
    masks = {family: mask for (side, family), mask in files.masks.items() if side == name}
    n_vertices = _count_vertices(files.responses[name], list(masks.values()))
    regions: dict[str, NDArray[np.int32]] = {}
    for family, mask in masks.items():
        regions |= read_regions(mask, n_vertices, names[family])
    measured = None
    if test_responses is not None and images is not None:
        home = test_responses / files.subject / "test_split"
        measured = _read_measured(home, name, files.test_images, (len(images), n_vertices))
    return ChallengeHemisphere(n_vertices, regions, measured)


def _count_vertices(responses: Path, masks: Sequence[Path]) -> int:
    """Count a hemisphere's vertices in the training responses, or in a mask without these."""
    if lexists(responses) or not masks:
        return int(open_responses(responses).shape[1])
    return len(open_array(masks[0], "ROI mask"))


def _read_measured(home: Path, hemisphere: str, images: Path, shape: tuple[int, int]) -> Measured:
    """Map test responses (n_images, n_vertices), and read their noise ceilings.

    Raises InputError for other shapes or values.
    """
    n_images, n_vertices = shape
    path = home / "test_fmri" / f"{hemisphere}_test_fmri.npy"
    responses = open_responses(path)
    check_count(path, len(responses), images, n_images)
    if responses.shape[1] != n_vertices:
        raise InputError(
            f"{path}: responses of {responses.shape[1]:,} vertices, challenge space has "
            f"{n_vertices:,}; take them from the same subject"
        )
    path = home / "noise_ceiling" / f"{hemisphere}_noise_ceiling.npy"
    ceiling = open_array(path, "noise ceiling")
    if ceiling.shape != (n_vertices,) or not np.issubdtype(ceiling.dtype, np.floating):
        raise InputError(
            f"{path}: expected {n_vertices:,} floats, found {ceiling.dtype} of {ceiling.shape}; "
            "download it again"
        )
    outside = np.flatnonzero(~((ceiling >= 0) & (ceiling <= 1)))
    if len(outside):
        raise InputError(
            f"{path}: expected shares of variance from 0 to 1, found {len(outside):,} others, at "
            f"vertices {listed(outside)}; for a ceiling in r, save its square"
        )
    return Measured(responses, np.asarray(ceiling, np.float64))


def _check_counts(
    files: SubjectFiles, n_images: int, hemispheres: Mapping[str, ChallengeHemisphere]
) -> None:
    """Raise InputError where a measured subject is not as in the challenge."""
    expected = COUNTS.get(files.subject)
    if expected is None:
        raise InputError(
            f"{files.roi_masks}: {files.subject} is not in the challenge, which has "
            f"{', '.join(COUNTS)}; leave it out with --subjects"
        )
    lines = [
        f"{files.roi_masks}: {name} has {one.n_vertices:,} vertices, {files.subject} in the "
        f"challenge has {expected.n_vertices[name]:,}; download it again"
        for name, one in hemispheres.items()
        if one.n_vertices != expected.n_vertices[name]
    ]
    if n_images != expected.n_images:
        lines.append(
            f"{files.test_images}: {n_images:,} test images, {files.subject} in the challenge has "
            f"{expected.n_images:,}; download them again"
        )
    if lines:
        raise InputError(*lines)
