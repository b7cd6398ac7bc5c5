"""Check all of a subject's files of NSD-synthetic before anything is written, then read its betas.

Vertices, ROIs and their order are those of the subject's ingested NSD, so that a model of it
predicts the same columns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Findings, Hemisphere, Preparation, Responses, Subject
from orchestrator.ingest.copies import inspect_images
from orchestrator.ingest.image_places import (
    LINEAR_DISPLAY,
    StackedImage,
    count_stacked,
    digest_pixels,
)
from orchestrator.ingest.noise_ceilings import describe_formula, noise_left
from orchestrator.ingest.nsd.files import STIMULI_DATA_SET
from orchestrator.ingest.nsd.spaces import BetaSpace, open_space
from orchestrator.ingest.nsd_synthetic.class_ceilings import ClassCeilings
from orchestrator.ingest.nsd_synthetic.design import read_classes, read_design, stimulus_names
from orchestrator.ingest.nsd_synthetic.files import SyntheticFiles
from orchestrator.ingest.run import show_notes
from orchestrator.ingest.splits import Split, given_split, split_images
from orchestrator.ingest.trial_means import Block, MeanRows, TrialMeans, TrialRows, scratch_bytes
from trainables.data.verification import read_vertex_table
from trainables.data.vertex_columns import COORDINATES
from trainables.spec.rois import NSD_SYNTHETIC


def inspect_synthetic_subject(
    files: SyntheticFiles, split: str, findings: Findings, looked: Callable[[int], None]
) -> Subject | None:
    """Check one subject's files; add problems to findings, and return None if there are any.

    looked: called with the number of images that were checked since its last call.
    """
    before = len(findings.complaints)
    images = findings.attempt(_images, files)
    shown = findings.attempt(read_design, files.design, len(images)) if images else None
    classes = findings.attempt(read_classes, files.classes, len(images)) if images else None
    space = open_space(files)
    space.inspect(None if shown is None else [len(shown)], findings)
    if images:
        inspect_images(images, None, findings, looked)
    if len(findings.complaints) > before or images is None or shown is None:
        return None
    halves = findings.attempt(_hemispheres, files, space)
    chosen = findings.attempt(_split, split, images)
    if halves is None or chosen is None or classes is None:
        return None
    places, hemispheres = halves
    trials = TrialRows((shown,), len(images))
    reading = _Reading(files, space, trials, places, hemispheres, classes)
    return reading.planned(images, chosen)


def _images(files: SyntheticFiles) -> tuple[StackedImage, ...]:
    """Return the images of all subjects, then the subject's own, in the order of their numbers."""
    return tuple(
        StackedImage(path, STIMULI_DATA_SET, row, LINEAR_DISPLAY)
        for path in (files.stimuli, files.colour_stimuli)
        for row in range(count_stacked(path, STIMULI_DATA_SET))
    )


def _split(name: str, images: Sequence[StackedImage]) -> Split:
    """Divide the images by the hash of their names; those of equal pixels have one side.

    Only a readout that is fitted again to these images needs it. Some images are equal, such as
    blank ones.
    """
    names = stimulus_names(len(images))
    first: dict[str, str] = {}
    try:
        alike = [
            first.setdefault(digest_pixels(image), name)
            for image, name in zip(images, names, strict=True)
        ]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{images[0].file.parent}: not readable ({error}); download again"
        ) from error
    whole = split_images("stimulus", names)
    side = dict(zip(names, whole.sides, strict=True))
    return given_split(name, names, [side[one] for one in alike])


Halves = tuple[dict[str, NDArray[np.int32]], dict[str, Hemisphere]]


def _hemispheres(files: SyntheticFiles, space: BetaSpace) -> Halves:
    """Read the vertices of the subject's NSD: their places in the space, and all else."""
    try:
        table = read_vertex_table(files.nsd_shard)
    except ValueError as error:
        raise InputError(f"{error}") from error
    places, hemispheres = {}, {}
    for side in dict.fromkeys(table["hemisphere"].to_pylist()):
        part = table.filter(pc.equal(table["hemisphere"], side))
        columns = {
            name: part[name].to_numpy()
            for name in ("fsaverage", *COORDINATES)
            if name in part.column_names and not part[name].null_count
        }
        fsaverage = columns.pop("fsaverage", None)
        known = columns if fsaverage is None else {**columns, "fsaverage": fsaverage}
        places[side] = _ascending(files, space.find(known))
        hemispheres[side] = Hemisphere(
            n_vertices=part.num_rows,
            regions=_regions(part["rois"].to_pylist()),
            fsaverage=fsaverage,
            noise_ceiling=None,
            coordinates=columns,
        )
    return places, hemispheres


def _ascending(files: SyntheticFiles, places: NDArray[np.int32]) -> NDArray[np.int32]:
    if (np.diff(places) <= 0).any():
        raise InputError(
            f"{files.nsd_shard}: its vertices are not in ascending order; ingest its NSD again"
        )
    return places


def _regions(names: Sequence[Sequence[str]]) -> dict[str, NDArray[np.int32]]:
    """Return the vertices of each ROI, ascending, from the ROIs of each vertex."""
    found: dict[str, list[int]] = {}
    for vertex, of_vertex in enumerate(names):
        for name in of_vertex:
            found.setdefault(name, []).append(vertex)
    return {name: np.array(vertices, np.int32) for name, vertices in found.items()}


class _Filled:
    """Mean responses in which a vertex without data is 0, for which no r is defined."""

    def __init__(self, means: MeanRows) -> None:
        self._means = means

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        return np.nan_to_num(self._means[rows], nan=0.0)


@dataclass(frozen=True)
class _Reading:
    """One pass over the betas of a checked subject."""

    files: SyntheticFiles
    space: BetaSpace
    trials: TrialRows
    places: Mapping[str, NDArray[np.int32]]
    hemispheres: Mapping[str, Hemisphere]
    stimuli: pa.Table
    """Classes of the images, by STIMULUS_SCHEMA."""

    @property
    def classes(self) -> list[str]:
        """Return the class of each image."""
        return [str(name) for name in self.stimuli["class"].to_pylist()]

    def planned(self, images: tuple[StackedImage, ...], split: Split) -> Subject:
        """Describe the subject without noise ceilings, with the pass that is to be made."""
        n_columns, n_repeated = self._n_columns(), self._n_trials()
        left = noise_left(n_repeated)
        subject = Subject(
            dataset=NSD_SYNTHETIC,
            subject=self.files.subject,
            shard=self.files.shard,
            images=images,
            stimuli=stimulus_names(len(images)),
            hemispheres=self.hemispheres,
            responses=_not_read,
            split=split,
            source=self.files.digest(),
            noise_ceiling_formula=describe_formula("ncsnr", int((n_repeated > 1).sum()), left),
            stimulus_table=self.stimuli,
        )
        preparation = Preparation(
            n_bytes=4 * len(self.trials.sessions[0]) * sum(n_columns.values()),
            n_scratch_bytes=scratch_bytes(len(images), n_columns),
            run=lambda scratch, advance: self.read(subject, scratch, advance),
        )
        return replace(subject, preparation=preparation)

    def read(self, subject: Subject, scratch: Path, advance: Callable[[int], None]) -> Subject:
        """Average the trials of each image, and estimate the noise ceilings from them."""
        means = TrialMeans(scratch, self._n_columns(), self.trials)
        ceilings = ClassCeilings(self.trials.sessions[0], self.classes, self._n_columns())

        def watch(_: int, block: Block) -> None:
            ceilings.add(block.hemisphere, block.columns, block.values)
            advance(block.values.nbytes)

        means.read(lambda session: self.space.read(session, self.places), watch)
        rows = means.rows()
        lines = [
            f"{self.files.subject} {side}: {n:,} vertices have no data here; they have no score"
            for side, one in rows.items()
            if (n := int((~one.is_valid).sum()))
        ]
        show_notes([*lines, *self.space.notes()])
        hemispheres = {
            side: replace(half, noise_ceiling=ceilings.of_all(side))
            for side, half in self.hemispheres.items()
        }
        filled = {side: _Filled(one) for side, one in rows.items()}
        return replace(
            subject,
            hemispheres=hemispheres,
            responses=lambda: filled,
            class_ceilings=ceilings.table(),
            preparation=None,
        )

    def _n_trials(self) -> NDArray[np.int32]:
        return self.trials.counts()[:, 0]

    def _n_columns(self) -> dict[str, int]:
        return {side: len(places) for side, places in self.places.items()}


def _not_read() -> Responses:
    raise RuntimeError("the betas were not read yet")
