"""Check all of a subject's files before anything is written, and list every problem."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Findings, Hemisphere, KeptTrials, Subject
from orchestrator.ingest.copies import inspect_images
from orchestrator.ingest.folder.ceilings import Ceilings, find_ceilings
from orchestrator.ingest.folder.files import GIVEN, FolderChoices, FolderFiles
from orchestrator.ingest.folder.matrices import Opened, open_responses
from orchestrator.ingest.folder.neuroids import NEUROIDS, Neuroids, read_neuroids
from orchestrator.ingest.folder.regions import Members, read_regions
from orchestrator.ingest.folder.standardisation import MeanResponses, Measured, Rows, measure
from orchestrator.ingest.folder.stimuli import (
    PRESENTATIONS,
    READ,
    Presentations,
    read_presentations,
)
from orchestrator.ingest.splits import Split, given_split, split_images
from orchestrator.ingest.tables import read_rows
from trainables.data.shards import TEST
from trainables.spec.rois import ROI_ORDER
from trainables.wording import some


@dataclass(frozen=True)
class _Tables:
    """A subject's tables, all of them sound."""

    opened: Opened
    presentations: Presentations
    neuroids: Neuroids
    members: Members

    def shown(self) -> Rows:
        """List the rows of stimuli.csv that were shown, ascending."""
        return np.unique(self.presentations.stimulus)

    def rows(self) -> tuple[Rows, ...]:
        """List the presentations of each image that was shown."""
        order = np.argsort(self.presentations.stimulus, kind="stable")
        sizes = np.unique(self.presentations.stimulus, return_counts=True)[1]
        return tuple(np.split(order, np.cumsum(sizes)[:-1]))


def inspect_folder_subject(
    choices: FolderChoices,
    files: FolderFiles,
    split: str,
    findings: Findings,
    looked: Callable[[int], None],
) -> Subject | None:
    """Check one subject's files; add problems to findings, and return None if there are any.

    looked: called with the number of images that were checked since its last call.
    """
    before = len(findings.complaints)
    tables = _read_tables(files, findings)
    if tables is None:
        inspect_images(files.stimuli.images, None, findings, looked)
        return None
    shown, stimuli = tables.shown(), files.stimuli
    ids = tuple(stimuli.ids[row] for row in shown)
    sides = None if stimuli.sides is None else [stimuli.sides[row] for row in shown]
    chosen = findings.attempt(_split, files, split, ids, sides)
    images = tuple(stimuli.images[row] for row in shown)
    inspect_images(images, chosen, findings, looked)
    measured = findings.attempt(_measure, files, tables, choices)
    if len(findings.complaints) > before or chosen is None or measured is None:
        return None
    trials, means = _repeats(tables, measured, choices)
    tested = _tested(tables, means, chosen)
    ceilings = findings.attempt(find_ceilings, choices, tables, trials, tested)
    if ceilings is None:
        return None
    findings.notes += _notes(files, tables, measured)
    hemispheres = _complete(tables, measured)
    return Subject(
        dataset=files.description.name,
        subject=files.subject,
        shard=files.shard,
        images=images,
        stimuli=ids,
        hemispheres={name: _describe(one, tables, ceilings) for name, one in hemispheres.items()},
        responses=partial(_responses, means, hemispheres),
        trials=_kept(trials, hemispheres) if choices.repeats == "rows" else None,
        split=chosen,
        source=files.digest(),
        noise_ceiling_formula=ceilings.formula,
    )


def _repeats(
    tables: _Tables, measured: Measured, choices: FolderChoices
) -> tuple[MeanResponses, MeanResponses]:
    """Return the responses with all presentations of each image, and with those to average."""
    columns = np.flatnonzero(measured.is_complete)
    trials = MeanResponses(tables.opened.matrix, measured.scaling, tables.rows(), columns)
    return trials, trials.first() if choices.repeats == "first" else trials


def _complete(tables: _Tables, measured: Measured) -> dict[str, Rows]:
    """Return the complete columns of each hemisphere that has any."""
    sides = tables.neuroids.sides.items()
    found = {side: columns[measured.is_complete[columns]] for side, columns in sides}
    return {side: columns for side, columns in found.items() if len(columns)}


def _responses(means: MeanResponses, hemispheres: Mapping[str, Rows]) -> dict[str, MeanResponses]:
    return {side: replace(means, columns=columns) for side, columns in hemispheres.items()}


def _kept(trials: MeanResponses, hemispheres: Mapping[str, Rows]) -> KeptTrials:
    counts = np.array([len(rows) for rows in trials.rows])
    return KeptTrials(counts, partial(_responses, trials, hemispheres))


def _read_tables(files: FolderFiles, findings: Findings) -> _Tables | None:
    folder, description = files.folder, files.description
    opened = findings.attempt(_open_in_order, folder, len(files.stimuli.ids))
    if opened is None:
        return None
    presentations = findings.attempt(
        lambda: read_presentations(
            folder,
            opened.presentations,
            files.stimuli,
            opened.matrix.shape[0],
            averaged=description.averaged,
        )
    )
    space, unit = description.space, description.noise_ceiling_unit
    neuroids = findings.attempt(read_neuroids, folder, opened, space, unit)
    members = findings.attempt(read_regions, folder, neuroids) if neuroids else None
    if presentations is None or neuroids is None or members is None:
        return None
    return _Tables(opened, presentations, neuroids, members)


def _open_in_order(folder: Path, n_stimuli: int) -> Opened:
    """Open responses; raise InputError where the tables say that their axes are exchanged."""
    opened = open_responses(folder)
    found = opened.matrix.shape
    shown, neuroids = (_count_rows(folder / name) for name in (PRESENTATIONS, NEUROIDS))
    expected = (n_stimuli if shown is None else shown, neuroids)
    if found != expected == found[::-1]:
        raise InputError(
            f"{opened.paths[0]}: expected responses of (presentations, neuroids) = {expected}, "
            f"found {found}: the axes are in another order; save them transposed"
        )
    return opened


def _count_rows(path: Path) -> int | None:
    """Count the rows of a table; None where there is none, or none that can be read."""
    try:
        return len(read_rows(path, "a table", (), comments=True)) if path.exists() else None
    except InputError:
        return None


def _split(files: FolderFiles, name: str, ids: tuple[str, ...], sides: list[str] | None) -> Split:
    """Decide the side of each image that the subject saw; raise InputError naming the subject."""
    try:
        if name == GIVEN:
            assert sides is not None  # settings_of has refused it
            return given_split(name, ids, sides)
        return split_images(name, ids)
    except InputError as error:
        raise InputError(f"{files.folder}: {error}") from error


def _measure(files: FolderFiles, tables: _Tables, choices: FolderChoices) -> Measured:
    """Measure the columns; raise InputError where none has responses everywhere."""
    session = tables.presentations.session
    if choices.zscore == "all":
        session = np.zeros_like(session)
    measured = measure(tables.opened.matrix, session, zscores=choices.zscore != "none")
    if not measured.is_complete.any():
        constant = " or constant within a session" if choices.zscore != "none" else ""
        raise InputError(
            f"{tables.opened.paths[0]}: each of {len(measured.is_complete):,} neuroids has NaN or "
            f"infinite responses{constant}, so that none is left; leave out the presentations that "
            f"are not there, in {files.folder}"
        )
    return measured


def _tested(tables: _Tables, means: MeanResponses, split: Split) -> NDArray[np.integer[Any]] | None:
    """Return how many trials each test image's response is the mean of; None if not known."""
    trials = tables.presentations.n_trials
    if trials is None:
        return None
    of_image = np.array([trials[rows].sum() for rows in means.rows])
    found: NDArray[np.integer[Any]] = of_image[np.array(split.sides) == TEST]
    return found


def _notes(files: FolderFiles, tables: _Tables, measured: Measured) -> list[str]:
    """Say which columns and ROIs are left out, and how many stimuli were not shown."""
    notes, path = [], tables.opened.paths[0]
    left_out = np.flatnonzero(~measured.is_complete)
    if len(left_out):
        why = "NaN, infinite or constant" if measured.scaling is not None else "NaN or infinite"
        names = some([tables.neuroids.ids[column] for column in left_out])
        notes.append(
            f"{path}: {len(left_out):,} of {len(measured.is_complete):,} neuroids have {why} "
            f"responses, and are left out: {names}"
        )
    gone = [roi for roi, found in tables.members.items() if not measured.is_complete[found].any()]
    if gone:
        notes.append(f"{path}: no neuroid is left of {some(gone)}")
    shown = tables.presentations
    if shown.unread:
        notes.append(
            f"{shown.path}: not read: {some(shown.unread)}, only {', '.join(READ)}; rename a "
            "column that is one of these"
        )
    n_hidden = len(files.stimuli.ids) - len(tables.shown())
    if n_hidden:
        notes.append(f"{files.folder}: {n_hidden:,} stimuli of stimuli.csv were not shown")
    return notes


def _describe(columns: Rows, tables: _Tables, ceilings: Ceilings) -> Hemisphere:
    """Describe a hemisphere by its columns of the responses, ascending."""
    neuroids = tables.neuroids
    regions = _regions(columns, tables.members)
    return Hemisphere(
        n_vertices=len(columns),
        regions={name: regions[name] for name in (*ROI_ORDER, *sorted(regions)) if name in regions},
        fsaverage=None if neuroids.fsaverage is None else neuroids.fsaverage[columns],
        noise_ceiling=None
        if ceilings.r is None
        else np.asarray(ceilings.r[columns], dtype=np.float32),
        coordinates={name: values[columns] for name, values in neuroids.coordinates.items()},
    )


def _regions(columns: Rows, members: Mapping[str, Rows]) -> dict[str, NDArray[np.int32]]:
    """Return the places of each ROI's members among the columns, without empty ROIs."""
    found = {name: np.flatnonzero(np.isin(columns, one)) for name, one in members.items()}
    return {name: places.astype(np.int32) for name, places in found.items() if len(places)}
