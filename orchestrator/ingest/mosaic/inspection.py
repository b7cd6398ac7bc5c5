"""Check all of a MOSAIC subject before anything is written, and list every problem."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Findings, Hemisphere, KeptTrials, Subject
from orchestrator.ingest.copies import inspect_images
from orchestrator.ingest.image_places import ImagePlace
from orchestrator.ingest.mosaic.areas import roi_of
from orchestrator.ingest.mosaic.ceilings import (
    Ceilings,
    count_repeats,
    of_columns,
    read_ceilings,
)
from orchestrator.ingest.mosaic.files import MosaicFiles
from orchestrator.ingest.mosaic.grayordinates import FIRST
from orchestrator.ingest.mosaic.parcels import Parcels, read_parcels
from orchestrator.ingest.mosaic.recordings import Recording
from orchestrator.ingest.mosaic.responses import TrialMeans
from orchestrator.ingest.mosaic.rows import Rows, split_rows
from orchestrator.ingest.mosaic.stimulus_files import check_square
from orchestrator.ingest.splits import Split
from trainables.data.shards import TEST
from trainables.spec.rois import HEMISPHERES

Columns = Mapping[str, NDArray[np.int32]]


@dataclass(frozen=True)
class _Sound:
    """What was read of a subject in which nothing is wrong."""

    rows: Rows
    recording: Recording
    parcels: Parcels
    split: Split
    images: tuple[ImagePlace, ...]


def inspect_mosaic_subject(
    files: MosaicFiles, split: str, findings: Findings, looked: Callable[[int], None]
) -> Subject | None:
    """Check one subject; add problems to findings, and return None if there are any.

    split: that of the files' choices. looked: called with the number of images that were checked
    since its last call.
    """
    assert split == files.choices.split
    before = len(findings.complaints)
    parcels = findings.attempt(read_parcels, files.companions.atlas, files.choices.areas)
    rows = findings.attempt(lambda: files.rows)
    if rows is None:
        return None
    findings.notes += rows.notes
    chosen = findings.attempt(split_rows, rows, files.choices)
    images = findings.attempt(files.locate)
    if images is not None:
        natural = [
            i for i, row in zip(images, rows.rows, strict=True) if row.stimulus.nsd_row is not None
        ]
        findings.attempt(check_square, natural)
        inspect_images(images, chosen, findings, looked)
    if len(findings.complaints) > before or parcels is None or chosen is None or images is None:
        return None
    sound = _Sound(rows, files.recording, parcels, chosen, images)
    return findings.attempt(_describe, files, sound)


def _describe(files: MosaicFiles, sound: _Sound) -> Subject:
    columns = {side: _columns(files.path, sound, side) for side in HEMISPHERES}
    trials = tuple(row.trials for row in sound.rows.rows)
    tested = [t for t, side in zip(trials, sound.split.sides, strict=True) if side == TEST]
    ceilings = read_ceilings(
        files.path, files.group, files.key, sound.recording, files.choices, count_repeats(tested)
    )

    def responses() -> dict[str, TrialMeans]:
        return {
            side: TrialMeans(files.path, files.group, trials, columns[side]) for side in HEMISPHERES
        }

    counts = np.array([len(names) for names in trials])
    return Subject(
        dataset=files.key.ingested,
        subject=files.subject,
        shard=files.shard,
        images=sound.images,
        stimuli=sound.rows.stimuli,
        hemispheres=_hemispheres(sound, columns, ceilings),
        responses=responses,
        trials=KeptTrials(counts, responses) if files.choices.repeats == "rows" else None,
        split=sound.split,
        source=files.digest(),
        noise_ceiling_formula=None if ceilings is None else ceilings.formula,
    )


def _columns(path: Path, sound: _Sound, side: str) -> NDArray[np.int32]:
    """List the grayordinates of a hemisphere's areas that have a value in every trial."""
    areas = list(sound.parcels.columns[side].values())
    kept = np.setdiff1d(np.concatenate(areas), sound.recording.missing)
    if not len(kept):
        raise InputError(
            f"{path}: no grayordinate of {side} is left of the areas that were asked for; give "
            "other --areas, or leave the subject out"
        )
    return kept.astype(np.int32)


def _hemispheres(
    sound: _Sound, columns: Columns, ceilings: Ceilings | None
) -> dict[str, Hemisphere]:
    known = of_columns(ceilings, columns)
    halves = {}
    for side, kept in columns.items():
        regions = {
            roi_of(area): np.flatnonzero(np.isin(kept, places)).astype(np.int32)
            for area, places in sound.parcels.columns[side].items()
        }
        coordinates = {"grayordinate": kept}
        if sound.parcels.vertices is not None:
            coordinates["fslr"] = sound.parcels.vertices[side][kept - FIRST[side]]
        halves[side] = Hemisphere(
            n_vertices=len(kept),
            regions={roi: vertices for roi, vertices in regions.items() if len(vertices)},
            fsaverage=None,  # fsLR is another mesh
            noise_ceiling=known[side],
            coordinates=coordinates,
        )
    return halves
