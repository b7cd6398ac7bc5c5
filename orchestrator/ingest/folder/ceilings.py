"""The noise ceilings of a subject: given in neuroids.csv, or estimated from repeats."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.folder.files import FolderChoices
from orchestrator.ingest.folder.neuroids import Neuroids
from orchestrator.ingest.folder.standardisation import MeanResponses
from orchestrator.ingest.noise_ceilings import (
    MIN_IMAGES,
    MIN_REPEATS,
    ceiling_of,
    describe_formula,
    noise_left,
)

Integers = NDArray[np.integer[Any]]


class Tables(Protocol):
    """A subject's tables."""

    @property
    def neuroids(self) -> Neuroids:
        """What each column is."""


@dataclass(frozen=True)
class Ceilings:
    """Noise ceilings, and how they were found."""

    r: NDArray[np.float64] | None = None
    """(n_columns,): the highest r of a perfect model; NaN where unknown."""
    formula: str | None = None


def find_ceilings(
    choices: FolderChoices, tables: Tables, means: MeanResponses, tested: Integers | None
) -> Ceilings:
    """Take the ceilings that are given, or estimate them from repeats, as the choices say.

    tested: (n_test,) trials of each test image. Raises InputError where what was asked for is not
    there.
    """
    neuroids, asked = tables.neuroids, choices.ceiling
    n_repeated = sum(len(rows) >= MIN_REPEATS for rows in means.rows)
    is_given = neuroids.ceiling is not None or neuroids.ncsnr is not None
    if asked is None:
        asked = "given" if is_given else "ncsnr" if n_repeated >= MIN_IMAGES else "none"
    if asked == "none":
        return Ceilings()
    if asked == "given":
        return _given(neuroids, tested)
    if n_repeated < MIN_IMAGES:
        raise InputError(
            f"--ceiling {asked}: {n_repeated} images of {neuroids.path.parent.name} were shown "
            f"twice or more; expected at least {MIN_IMAGES}: use --ceiling none"
        )
    assert tested is not None  # of data that is not averaged
    found = means.statistics()
    ncsnr = found.ncsnr() if asked == "ncsnr" else found.ncsnr_of_halves()
    left = noise_left(tested)
    r = np.full(len(neuroids.ids), np.nan)
    r[means.columns] = ceiling_of(ncsnr, left)
    return Ceilings(r, describe_formula(asked, found.n_images, left))


def _given(neuroids: Neuroids, tested: Integers | None) -> Ceilings:
    if neuroids.ceiling is not None:
        return Ceilings(neuroids.ceiling, f"given in {neuroids.path.name}")
    if neuroids.ncsnr is None:
        raise InputError(
            f"--ceiling given: {neuroids.path} has no column noise_ceiling or ncsnr; add one, or "
            "use another --ceiling"
        )
    if tested is None:
        raise InputError(
            f"{neuroids.path}: a ceiling from ncsnr depends on how many trials a response is the "
            "mean of; add a column n_trials to presentations.csv, or use --ceiling none"
        )
    left = noise_left(tested)
    return Ceilings(ceiling_of(neuroids.ncsnr, left), describe_formula("given", 0, left))
