"""Which model predicts each vertex of challenge space."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.encoding_models.config import ModelDirectory
from orchestrator.ingest.algonauts.files import DATASET
from orchestrator.submit.challenge_files import ChallengeSubject
from trainables.wording import some

NO_MODEL: Final = -1


@dataclass(frozen=True)
class Share:
    """The vertices that a model predicts in the submission."""

    model: ModelDirectory
    columns: NDArray[np.intp]
    """Columns of the model's predictions."""
    vertices: NDArray[np.intp]
    """The vertices of its hemisphere that these columns are."""


@dataclass(frozen=True)
class SubjectPlan:
    """Which models predict a subject; a vertex is in one share at most."""

    subject: ChallengeSubject
    shares: tuple[Share, ...]

    def of(self, hemisphere: str) -> list[Share]:
        """Return the shares of a hemisphere."""
        return [one for one in self.shares if one.model.config.roi.hemisphere == hemisphere]

    def n_without(self, hemisphere: str) -> int:
        """Count the vertices of a hemisphere that no model predicts."""
        n_predicted = sum(len(share.vertices) for share in self.of(hemisphere))
        return self.subject.hemispheres[hemisphere].n_vertices - n_predicted


def plan_subject(
    subject: ChallengeSubject, models: Sequence[ModelDirectory], *, source: Path, simulated: bool
) -> SubjectPlan:
    """Choose the model of each vertex of a subject.

    Of several models of a vertex, the one of the highest r there, on the held-out training images
    of the sweep, predicts it; of equal ones, the first by name. Raises InputError for models of
    other data, and where a hemisphere has none.
    """
    mine = [one for one in models if one.config.roi.subject == subject.subject]
    problems = [_problem(one, subject, source, simulated=simulated) for one in mine]
    lines = [line for line in problems if line]
    shares: list[Share] = []
    for name, hemisphere in subject.hemispheres.items():
        there = [one for one in mine if one.config.roi.hemisphere == name]
        if not there:
            lines.append(
                f"no model of {subject.subject} {name}, only of "
                f"{some(sorted({one.config.roi.id for one in models}))}; export one, or leave "
                f"{subject.subject} out with --subjects"
            )
        elif not lines:
            shares += _share(there, hemisphere.n_vertices)
    if lines:
        raise InputError(*lines)
    return SubjectPlan(subject, tuple(shares))


def _problem(
    model: ModelDirectory, subject: ChallengeSubject, source: Path, *, simulated: bool
) -> str | None:
    """Say why a model is of other data than a subject's; None where it is of the same."""
    roi, vertices = model.config.roi, model.config.vertices.vertex
    if roi.dataset != DATASET:
        return (
            f"{model.path}: a model of {roi.dataset}, expected {DATASET}; move it out of --models"
        )
    if roi.hemisphere not in subject.hemispheres:
        return (
            f"{model.path}: a model of {roi.id}, expected one of the challenge's hemispheres, "
            f"{' or '.join(subject.hemispheres)}; move it out of --models"
        )
    if model.config.is_simulated != simulated:
        kinds = (
            ("simulated", "measured") if model.config.is_simulated else ("measured", "simulated")
        )
        return (
            f"{model.path}: a model of {kinds[0]} responses, but {source} is {kinds[1]}; give the "
            "--src that it was ingested from"
        )
    known = subject.hemispheres[roi.hemisphere].vertices_of(roi.name)
    if known is None or not np.array_equal(known, np.sort(vertices)):
        found = "none" if known is None else f"{len(known):,}, not the same ones"
        return (
            f"{model.path}: has {len(vertices):,} vertices of {roi.hemisphere} {roi.name}, "
            f"{source} has {found}; give the --src that it was ingested from"
        )
    return None


def _share(models: Sequence[ModelDirectory], n_vertices: int) -> list[Share]:
    """Share the vertices of a hemisphere among its models."""
    vertices = [np.array(one.config.vertices.vertex, np.intp) for one in models]
    chosen = np.full(n_vertices, NO_MODEL, np.intp)
    highest = np.full(n_vertices, -np.inf)
    for place, (model, own) in enumerate(zip(models, vertices, strict=True)):
        r = _validated(model)
        better = (r > highest[own]) | (chosen[own] == NO_MODEL)
        chosen[own[better]] = place
        highest[own[better]] = r[better]
    shares = []
    for place, (model, own) in enumerate(zip(models, vertices, strict=True)):
        columns = np.flatnonzero(chosen[own] == place)
        if len(columns):
            shares.append(Share(model, columns, own[columns]))
    return shares


def _validated(model: ModelDirectory) -> NDArray[Any]:
    """Return r of each vertex on the sweep's held-out images; lower than any where it has none."""
    return np.array([-np.inf if r is None else r for r in model.config.vertices.r])
