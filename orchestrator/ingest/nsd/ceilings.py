"""A subject's noise ceilings: from the released ncsnr, or from the trials of repeated images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Findings
from orchestrator.ingest.noise_ceilings import ESTIMATES, MIN_IMAGES, ceiling_of, noise_left
from orchestrator.ingest.nsd.design import Design
from orchestrator.ingest.nsd.files import NsdFiles
from orchestrator.ingest.nsd.spaces import BetaSpace
from orchestrator.ingest.repeated_trials import RepeatedTrials, repeated_images
from orchestrator.ingest.trial_means import TrialRows

FORMULA: Final = (
    "r = sqrt(s^2 / (s^2 + m)); {s}; m: mean over test images of 1 / trials, in sessions in which "
    "the vertex has data"
)
"""How noise ceilings are computed, as manifests record it."""


@dataclass(frozen=True)
class Released:
    """ncsnr as released."""

    ncsnr: Mapping[str, NDArray[Any]]
    """Of each vertex of the space, by hemisphere."""

    @property
    def formula(self) -> str:
        """Describe how ceilings are computed from it."""
        return FORMULA.format(s="s: ncsnr as released")


@dataclass(frozen=True)
class Estimated:
    """ncsnr that is yet to be estimated from the trials of repeated images."""

    images: TrialRows

    @property
    def formula(self) -> str:
        """Describe how ceilings are computed from it."""
        return FORMULA.format(s=ESTIMATES["ncsnr"].format(n=self.images.n_rows))

    def started(self, folder: Path, n_columns: Mapping[str, int]) -> RepeatedTrials:
        """Prepare to add sessions; folder: a new directory, for as long as they are added."""
        folder.mkdir()
        return RepeatedTrials(folder, n_columns, self.images)


def find_ncsnr(
    files: NsdFiles, space: BetaSpace, design: Design | None, findings: Findings
) -> Released | Estimated | None:
    """Read ncsnr, or choose the images to estimate it from, as asked; None for no ceilings.

    Without a choice, it is estimated where its files are missing and enough images are repeated.
    """
    asked = files.choices.ceiling
    if asked == "none":
        return None
    released = None if asked == "estimated" else space.read_ncsnr(findings)
    if released is not None:
        return Released(released)
    if asked == "released":
        findings.attempt(_refuse_missing, files)
        return None
    return None if design is None else findings.attempt(_repeated, files, design, findings)


def _refuse_missing(files: NsdFiles) -> None:
    raise InputError(
        f"{files.betas}: no ncsnr; download it, or use --ceiling estimated, from repeated images"
    )


def _repeated(files: NsdFiles, design: Design, findings: Findings) -> Estimated | None:
    images = repeated_images(tuple(design.session(number) for number in files.sessions))
    if images.n_rows >= MIN_IMAGES:
        findings.notes.append(
            f"{files.subject}: noise ceilings are estimated from {images.n_rows:,} repeated images"
        )
        return Estimated(images)
    few = f"{images.n_rows} images were shown twice or more, expected at least {MIN_IMAGES}"
    if files.choices.ceiling == "estimated":
        raise InputError(f"{files.betas}: {few} for --ceiling estimated; read more --sessions")
    findings.notes.append(f"{files.subject}: no noise ceilings: no ncsnr, and {few}")
    return None


def noise_left_by_vertex(
    counts: NDArray[np.integer[Any]], is_valid: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Compute the share of a trial's noise variance that is left in responses: (n_vertices,).

    It is the mean of 1 / trials over the images that have any in sessions with data. counts:
    (n_images, n_sessions), trials of each image. is_valid: (n_sessions, n_vertices), whether a
    vertex has data in a session. NaN for a vertex without any trial.
    """
    patterns, pattern_of = np.unique(is_valid, axis=1, return_inverse=True)
    trials = counts @ patterns.astype(np.int64)
    left = [noise_left(of[of > 0]) if of.any() else np.nan for of in trials.T]
    return np.array(left)[pattern_of.reshape(-1)]


def ceilings_of_means(
    ncsnr: NDArray[np.floating[Any]],
    counts: NDArray[np.integer[Any]],
    is_valid: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Compute the highest r that a perfect model can reach: (n_vertices,), by FORMULA.

    ncsnr: (n_vertices,). counts, is_valid: as of `noise_left_by_vertex`, for the test images.
    """
    return ceiling_of(ncsnr, noise_left_by_vertex(counts, is_valid)).astype(np.float32)
