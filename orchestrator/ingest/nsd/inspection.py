"""Check all of an NSD subject's files before anything is written, then read its betas once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import (
    Findings,
    Hemisphere,
    KeptTrials,
    Preparation,
    Responses,
    Subject,
)
from orchestrator.ingest.copies import inspect_images
from orchestrator.ingest.image_places import StackedImage, count_stacked
from orchestrator.ingest.nsd.ceilings import Estimated, Released, ceilings_of_means, find_ncsnr
from orchestrator.ingest.nsd.design import Design, read_design
from orchestrator.ingest.nsd.files import DATASET, STIMULI_DATA_SET, NsdFiles
from orchestrator.ingest.nsd.rois import Rois
from orchestrator.ingest.nsd.rows import Rows, plan_rows
from orchestrator.ingest.nsd.selection import carry_regions, choose_vertices
from orchestrator.ingest.nsd.spaces import BetaSpace, Vertices, open_space
from orchestrator.ingest.run import show_notes
from orchestrator.ingest.single_trials import SingleRows, SingleTrialPass
from orchestrator.ingest.trial_means import Block, MeanRows, TrialMeans, scratch_bytes
from trainables.data.shards import TEST, TRAIN
from trainables.wording import some


def inspect_nsd_subject(
    files: NsdFiles, split: str, findings: Findings, looked: Callable[[int], None]
) -> Subject | None:
    """Check one subject's files; add problems to findings, and return None if there are any.

    looked: called with the number of images that were checked since its last call.
    """
    before = len(findings.complaints)
    design = findings.attempt(read_design, files.design, files.number)
    n_trials = None if design is None else findings.attempt(_trials_of, files, design)
    space = open_space(files)
    space.inspect(n_trials, findings)
    vertices, rois = _choose(files, space, findings)
    ncsnr = find_ncsnr(files, space, design, findings)
    rows = None
    if design is not None and n_trials is not None:
        rows = findings.attempt(plan_rows, files, design, split, files.choices.repeats)
    images = findings.attempt(_images, files, rows) if rows else None
    if images and rows:
        inspect_images(images, rows.split, findings, looked)
    if len(findings.complaints) > before or not (images and rows and vertices and rois):
        return None
    findings.notes.append(f"{files.subject}: images by their trials: {rows.counts()}")
    lost = carry_regions(rois.regions, vertices).lost
    if lost:
        findings.notes.append(
            f"{files.subject}: of {len(lost)} ROIs some vertices are not in --vertices "
            f"{files.choices.vertices}, and are left out: "
            f"{some([f'{name} ({n:,})' for name, n in lost.items()])}"
        )
    reading = _Reading(files, space, rows, vertices, rois, ncsnr)
    return reading.planned(images)


def _trials_of(files: NsdFiles, design: Design) -> list[int]:
    return [len(design.session(number)) for number in files.sessions]


def _choose(
    files: NsdFiles, space: BetaSpace, findings: Findings
) -> tuple[Vertices | None, Rois | None]:
    """Read the ROIs and choose the vertices; None where a problem was noted."""
    before = len(findings.complaints)
    families, general = findings.attempt(files.families), findings.attempt(files.nsdgeneral)
    if len(findings.complaints) > before or families is None:
        return None, None
    rois = space.read_rois(families, findings)
    only = space.read_rois([general], findings) if general else None
    if rois is None or (general and only is None):
        return None, None
    choice, where = files.choices.vertices, families[0].names.parent
    return findings.attempt(choose_vertices, choice, rois, only, where), rois


def _images(files: NsdFiles, rows: Rows) -> tuple[StackedImage, ...]:
    """Return the image of each row; raise InputError where the file of stimuli has too few."""
    n_stimuli = count_stacked(files.stimuli, STIMULI_DATA_SET)
    highest = int(rows.images.max())
    if highest >= n_stimuli:
        raise InputError(
            f"{files.stimuli}: {n_stimuli:,} images, but {files.design} names image "
            f"{highest + 1:,}, counted from 1; download both again"
        )
    return tuple(StackedImage(files.stimuli, STIMULI_DATA_SET, row) for row in rows.images.tolist())


@dataclass(frozen=True)
class _Reading:
    """One pass over a checked subject's betas."""

    files: NsdFiles
    space: BetaSpace
    rows: Rows
    vertices: Vertices
    rois: Rois
    ncsnr: Released | Estimated | None

    def planned(self, images: tuple[StackedImage, ...]) -> Subject:
        """Describe the subject as if no vertex were dropped, with the pass that is to be made."""
        n_columns = self._n_columns()
        n_trials = sum(len(rows) for rows in self.rows.trials.sessions)
        subject = Subject(
            dataset=DATASET,
            subject=self.files.subject,
            shard=self.files.shard,
            images=images,
            stimuli=self.rows.stimuli,
            hemispheres=self._hemispheres(self.vertices, self._released(), {}),
            responses=_not_read,
            split=self.rows.split,
            source=self.files.digest(),
            noise_ceiling_formula=self.ncsnr.formula if self.ncsnr else None,
        )
        preparation = Preparation(
            n_bytes=4 * n_trials * sum(n_columns.values()),
            n_scratch_bytes=scratch_bytes(self._n_scratch_rows(), n_columns),
            run=lambda scratch, advance: self.read(subject, scratch, advance),
        )
        return replace(subject, preparation=preparation, trials=self._kept(_not_kept))

    def read(self, subject: Subject, scratch: Path, advance: Callable[[int], None]) -> Subject:
        """Average the trials of each image; drop the vertices that lack one, and say how many."""
        n_columns, ncsnr, repeated = self._n_columns(), self._released(), None
        means = TrialMeans(scratch, n_columns, self.rows.trials)
        if isinstance(self.ncsnr, Estimated):
            repeated = self.ncsnr.started(scratch / "repeats", n_columns)
        single = None
        if self._keeps_trials:
            is_kept = self._is_trained()
            single = SingleTrialPass.start(scratch / "single", n_columns, self.rows.trials, is_kept)

        def watch(session: int, block: Block) -> None:
            if repeated is not None:
                repeated.add(session, block)
            if single is not None:
                single.means.add(session, block)
            advance(block.values.nbytes)

        means.read(lambda session: self.space.read(session, self.vertices), watch)
        if repeated is not None:
            ncsnr = repeated.ncsnr()
        complete = {
            side: rows.with_every_session() if single else rows.complete()
            for side, rows in means.rows().items()
        }
        known = {side: values[complete[side].columns] for side, values in ncsnr.items()}
        kept = {side: self.vertices[side][rows.columns] for side, rows in complete.items()}
        self._require_any(kept)
        show_notes([*self._notes(complete), *self.space.notes()])
        return replace(
            subject,
            hemispheres=self._hemispheres(kept, known, complete),
            responses=lambda: complete,
            trials=None if single is None else self._kept(partial(_at, single, complete)),
            preparation=None,
        )

    @property
    def _keeps_trials(self) -> bool:
        return self.files.choices.repeats == "rows"

    def _is_trained(self) -> NDArray[np.bool_]:
        is_trained: NDArray[np.bool_] = np.array(self.rows.split.sides) == TRAIN
        return is_trained

    def _kept(self, read: Callable[[], Mapping[str, SingleRows]]) -> KeptTrials | None:
        """Describe the single trials that are kept; None where means alone are."""
        if not self._keeps_trials:
            return None
        return KeptTrials(self.rows.trials.counts().sum(axis=1), read)

    def _n_columns(self) -> dict[str, int]:
        return {side: len(vertices) for side, vertices in self.vertices.items()}

    def _n_scratch_rows(self) -> int:
        n_repeated = self.ncsnr.images.n_rows if isinstance(self.ncsnr, Estimated) else 0
        n_single = 0
        if self._keeps_trials:
            n_single = int(self.rows.trials.counts()[self._is_trained()].sum())
        return len(self.rows.images) + n_repeated + n_single

    def _released(self) -> dict[str, NDArray[Any]]:
        """Return the released ncsnr of each column; empty where it is estimated, or unknown."""
        if not isinstance(self.ncsnr, Released):
            return {}
        return {side: self.ncsnr.ncsnr[side][chosen] for side, chosen in self.vertices.items()}

    def _require_any(self, kept: Vertices) -> None:
        empty = [side for side, vertices in kept.items() if not len(vertices)]
        if empty:
            raise InputError(
                f"{self.files.betas}: no vertex of {' and '.join(empty)} has responses to all "
                "images; download the betas again, or choose other --sessions"
            )

    def _notes(self, complete: Mapping[str, MeanRows]) -> list[str]:
        """Count the vertices that are invalid in some session, and those that are dropped."""
        lines = []
        for side, rows in complete.items():
            n_invalid = int((~rows.is_valid.all(axis=0)).sum())
            n_dropped = rows.is_valid.shape[1] - len(rows.columns)
            where = (
                f"{self.files.subject} {side}: {n_invalid:,} vertices have no data in some session"
            )
            if n_invalid and self._keeps_trials:
                lines.append(f"{where}, and are dropped, since single trials are kept")
            elif n_invalid:
                lines.append(
                    f"{where}, which is left out of their means"
                    + (f"; {n_dropped:,} of them lack an image, and are dropped" * bool(n_dropped))
                )
        return lines

    def _hemispheres(
        self,
        vertices: Vertices,
        ncsnr: Mapping[str, NDArray[Any]],
        means: Mapping[str, MeanRows],
    ) -> dict[str, Hemisphere]:
        """Describe the hemispheres with some vertices; means: of them, none before the pass."""
        regions = carry_regions(self.rois.regions, vertices).regions
        places = self.space.coordinates(vertices)
        found = {}
        for side, chosen in vertices.items():
            named = dict(places[side])
            fsaverage = named.pop("fsaverage", None)
            found[side] = Hemisphere(
                n_vertices=len(chosen),
                regions=regions[side],
                fsaverage=fsaverage,
                noise_ceiling=self._ceilings(ncsnr.get(side), means.get(side)),
                coordinates=named,
            )
        return found

    def _ceilings(
        self, ncsnr: NDArray[Any] | None, means: MeanRows | None
    ) -> NDArray[np.float32] | None:
        """Compute the noise ceilings of the test images; before the pass, as if all were valid."""
        if ncsnr is None:
            return None
        counts = self.rows.trials.counts()[np.array(self.rows.split.sides) == TEST]
        is_valid = np.ones((counts.shape[1], len(ncsnr)), bool)
        if means is not None:
            is_valid = means.is_valid[:, means.columns]
        return ceilings_of_means(ncsnr, counts, is_valid)


def _at(single: SingleTrialPass, means: Mapping[str, MeanRows]) -> dict[str, SingleRows]:
    """Return the single trials at the vertices that have means."""
    return {side: rows.at(means[side].columns) for side, rows in single.rows().items()}


def _not_read() -> Responses:
    raise RuntimeError("the betas were not read yet")


def _not_kept() -> dict[str, SingleRows]:
    raise RuntimeError("the betas were not read yet")
