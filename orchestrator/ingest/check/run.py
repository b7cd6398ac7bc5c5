"""Recognise a source's layout, inspect each subject as an ingest does, and tabulate the outcome."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Findings, Subject
from orchestrator.ingest.entries import require_folder
from orchestrator.ingest.layouts import layout_of
from orchestrator.ingest.progress import bar, progress_bars
from orchestrator.ingest.run import Inspect, show_notes
from orchestrator.ingest.writer import Source


@dataclass(frozen=True)
class _Found:
    """The subjects of a source, and how they are inspected."""

    files: Sequence[Source]
    inspect: Inspect[Any]
    split: str = "stimulus"


def _find_algonauts(source: Path) -> _Found:
    from orchestrator.ingest.algonauts.files import find_subjects
    from orchestrator.ingest.algonauts.inspection import inspect_subject

    return _Found(find_subjects(source, None, None), inspect_subject)


def _find_nsd(source: Path) -> _Found:
    from orchestrator.ingest.nsd.files import find_subjects
    from orchestrator.ingest.nsd.inspection import inspect_nsd_subject
    from orchestrator.ingest.nsd.settings import NsdChoices

    return _Found(find_subjects(source, None, NsdChoices()), inspect_nsd_subject, "shared1000")


def _find_nod(source: Path) -> _Found:
    from orchestrator.ingest.nod.files import find_subjects
    from orchestrator.ingest.nod.inspection import inspect_nod_subject
    from orchestrator.ingest.settings import NodChoices

    files = find_subjects(source, None, None, None)
    return _Found(files, partial(inspect_nod_subject, NodChoices()))


def _find_folder(source: Path) -> _Found:
    from orchestrator.ingest.folder.files import FolderChoices, find_subjects, settings_of
    from orchestrator.ingest.folder.inspection import inspect_folder_subject

    files = find_subjects(source, None)
    choices = FolderChoices.of(files[0].description, None, None)
    split = settings_of(files[0], choices, None).split
    return _Found(files, partial(inspect_folder_subject, choices), split)


def _find_mosaic(source: Path) -> _Found:
    from orchestrator.ingest.mosaic.choices import MosaicChoices
    from orchestrator.ingest.mosaic.command import CompanionOptions
    from orchestrator.ingest.mosaic.files import find_subjects
    from orchestrator.ingest.mosaic.inspection import inspect_mosaic_subject
    from orchestrator.ingest.mosaic.run import find_companions

    choices = MosaicChoices()
    companions = find_companions(source, CompanionOptions(), choices)
    files = find_subjects([source], None, companions, choices)
    return _Found(files, inspect_mosaic_subject, choices.split)


FINDERS: Final[Mapping[str, Callable[[Path], _Found]]] = {
    "algonauts": _find_algonauts,
    "nsd": _find_nsd,
    "nod": _find_nod,
    "mosaic": _find_mosaic,
    "folder": _find_folder,
}
"""How the subjects of a layout are found, by the name of its command."""


def check_source(source: Path) -> None:
    """Print what an ingest of a source would write; write nothing.

    Raises InputError with every problem, after the table.
    """
    require_folder(source)
    layout = layout_of(source) or ("mosaic" if any(source.glob("*.hdf5")) else None)
    if layout is None or layout not in FINDERS:
        raise InputError(
            f"{source}: no layout that is read ({', '.join(FINDERS)}); give the folder that holds "
            "the subjects, or write a template for your own data by `ingest folder --init DIR`"
        )
    found = FINDERS[layout](source)
    findings = Findings()
    rows = []
    with progress_bars() as progress:
        for files in found.files:
            before = len(findings.complaints)
            with bar(progress, f"{files.shard} checking", files.count_images()) as looked:
                subject = found.inspect(files, found.split, findings, looked)
            rows.append((files.shard, subject, len(findings.complaints) - before))
    title = f"{source}: layout of `ingest {layout}`, split {found.split}"
    Console().print(title, highlight=False, soft_wrap=True, markup=False)
    Console().print(tabulate(rows))
    show_notes(findings.notes)
    findings.raise_if_any()


def tabulate(rows: Sequence[tuple[str, Subject | None, int]]) -> Table:
    """Tabulate subjects: name, what would be written (None where it is not), and problems.

    ceiling: the median noise ceiling, as an r.
    """
    table = Table()
    table.add_column("subject", no_wrap=True)
    headings = ("train", "test", "vertices", "ROIs", "ceiling", "problems")
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, subject, n_problems in rows:
        cells = ("", "", "", "", "") if subject is None else _cells(subject)
        table.add_row(name, *cells, f"{n_problems:,}" if n_problems else "none")
    return table


def _cells(subject: Subject) -> tuple[str, ...]:
    halves = subject.hemispheres
    ceilings = [half.noise_ceiling for half in halves.values() if half.noise_ceiling is not None]
    known = np.concatenate([np.zeros(0), *ceilings])
    known = known[np.isfinite(known)]
    return (
        f"{subject.split.n_train:,}",
        f"{subject.split.n_test:,}",
        " + ".join(f"{half.n_vertices:,} {side}" for side, half in halves.items()),
        str(sum(len(half.regions) for half in halves.values())),
        f"{np.median(known):.2f}" if len(known) else "none",
    )
