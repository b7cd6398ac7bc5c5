"""Ingest a data set's folder: find, look at everything, then write subject after subject."""

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from orchestrator.cli.errors import InputError
from orchestrator.cli.problems import summed_up
from orchestrator.cli.terminal import can_redraw
from orchestrator.ingest.algonauts.files import find_subjects
from orchestrator.ingest.algonauts.inspection import inspect_subject
from orchestrator.ingest.checked import Findings, Subject
from orchestrator.ingest.copies import refuse_same_pictures
from orchestrator.ingest.nod.files import NodFiles
from orchestrator.ingest.partial_directories import remove_stale
from orchestrator.ingest.settings import NodChoices, Settings, SplitName
from orchestrator.ingest.simulated import is_simulated
from orchestrator.ingest.writer import (
    Batch,
    Source,
    read_existing,
    write_subject,
)
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest
from trainables.storage.disk_space import free_bytes
from trainables.storage.local_files import existing_part

AnySource = TypeVar("AnySource", bound=Source)
Inspect = Callable[[AnySource, SplitName, Findings, Callable[[int], None]], Subject | None]
"""Checks one subject, collects what is wrong, and reports the number of images checked so far."""

MEGABYTE: Final = 10**6


@dataclass(frozen=True)
class Ingested:
    """What became of one subject."""

    manifest: Manifest
    seconds: float | None
    """What writing it took; None for a subject that was there already."""


def ingest_algonauts(
    source: Path,
    out: DataDirectory,
    settings: Settings,
    *,
    subjects: Collection[int] | None = None,
    noise_ceilings: Path | None = None,
    repeats: tuple[int, ...] | None = None,
    num_cpus: int | None = None,
) -> list[Ingested]:
    """Write the subjects of an Algonauts folder as shards under out, and show how it went.

    subjects: their numbers, or None for all. noise_ceilings: a folder of ``subj01/lh.npy`` ….
    repeats: images by 1, 2, 3 … trials, where that folder holds ncsnr, not ceilings.
    Subjects that are there already are skipped; those of a simulated source are marked so. Raises
    InputError with everything that is wrong in the source, before anything is written.
    """
    files = find_subjects(source, subjects, noise_ceilings, repeats)
    settings = replace(settings, is_simulated=is_simulated(source))
    return ingest_subjects(files, inspect_subject, out, settings, num_cpus)


def ingest_nod(
    files: Sequence[NodFiles],
    out: DataDirectory,
    settings: Settings,
    choices: NodChoices,
    num_cpus: int | None = None,
) -> list[Ingested]:
    """Write the subjects of a NOD folder as shards under out, and show how it went.

    As `ingest_algonauts`; files: from `orchestrator.ingest.nod.files.find_subjects`.
    """
    from orchestrator.ingest.nod.inspection import inspect_nod_subject  # nibabel takes its time

    settings = replace(settings, choices=choices.record())
    inspect = partial(inspect_nod_subject, choices)
    return ingest_subjects(files, inspect, out, settings, num_cpus)


def ingest_subjects(
    files: Sequence[AnySource],
    inspect: Inspect[AnySource],
    out: DataDirectory,
    settings: Settings,
    num_cpus: int | None,
) -> list[Ingested]:
    """Check every subject, then write those that are not there yet, and show how it went.

    Raises InputError with everything that is wrong in the source, before anything is written.
    """
    done, checked = _check_everything(files, inspect, out, settings)
    remove_stale(out.path)
    written = _write(checked, out, settings, num_cpus) if checked else {}
    ingested = [(done | written)[file.subject] for file in files]
    Console().print(summarise(ingested, out))
    return ingested


def _check_everything(
    files: Sequence[AnySource], inspect: Inspect[AnySource], out: DataDirectory, settings: Settings
) -> tuple[dict[str, Ingested], list[Subject]]:
    """Find the subjects that are done, and check all of the others' files."""
    findings = Findings()
    done: dict[str, Ingested] = {}
    checked: list[Subject] = []
    for file in files:
        manifest = findings.attempt(read_existing, file, out, settings)
        if manifest is not None:
            done[file.subject] = Ingested(manifest, None)
    findings.attempt(check_out, out)
    waiting = [file for file in files if file.subject not in done]
    with progress_bars() as progress:
        for file in waiting:
            with bar(progress, f"{file.subject} checking", file.count_images()) as looked:
                subject = inspect(file, settings.split, findings, looked)
            if subject is not None:
                checked.append(subject)
    findings.attempt(check_disk_space, checked, out, settings)
    findings.raise_if_any()
    show_notes(findings.notes)
    return done, checked


def _write(
    subjects: Sequence[Subject], out: DataDirectory, settings: Settings, num_cpus: int | None
) -> dict[str, Ingested]:
    # Ray takes seconds to import: not before the source is known to be sound.
    from orchestrator.cluster.connection import connect
    from orchestrator.ingest.images import stream_images

    connect(num_cpus)
    written = {}
    with progress_bars() as progress:
        for subject in subjects:
            start = time.perf_counter()
            with bar(progress, f"{subject.subject} writing", len(subject.images)) as advance:
                images = counted(stream_images(subject.images, settings.image_size), advance)
                apart = refuse_same_pictures(images, subject.images, subject.split.sides)
                manifest = write_subject(subject, apart, out, settings)
            written[subject.subject] = Ingested(manifest, time.perf_counter() - start)
    return written


def show_notes(notes: Sequence[str]) -> None:
    """Print what the user should know of a source that is sound, a line for each kind."""
    for note in summed_up(notes):
        Console().print(f"note: {note}", highlight=False, soft_wrap=True, markup=False)


def counted(images: Iterable[Batch], advance: Callable[[int], None]) -> Iterator[Batch]:
    """Yield batches unchanged, and report the number of images of each."""
    for first, batch in images:
        yield first, batch
        advance(len(batch))


def check_out(out: DataDirectory) -> None:
    """Raise InputError when shards can't be written under out."""
    if out.path.exists() and not out.path.is_dir():
        raise InputError(
            f"{out}: expected a directory for the shards, found a file; choose another --out"
        )
    nearest = existing_part(out.path)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{out}: {nearest} can't be written to; choose another --out")


def check_disk_space(subjects: Sequence[Subject], out: DataDirectory, settings: Settings) -> None:
    """Raise InputError when the disk lacks room for the shards of the checked subjects."""
    needed = sum(_size(subject, settings.image_size) for subject in subjects)
    free = free_bytes(out.path)
    if needed > free:
        raise InputError(
            f"{out}: the shards need {needed / MEGABYTE:,.0f} MB, {free / MEGABYTE:,.0f} MB are "
            "free; choose another --out, or fewer --subjects at a time"
        )


def _size(subject: Subject, image_size: int) -> int:
    """Estimate the bytes of a subject's shards: per row, an image and its float32 responses."""
    vertices = sum(half.n_vertices for half in subject.hemispheres.values())
    return len(subject.images) * (3 * image_size**2 + 4 * vertices)


class _Rate(ProgressColumn):
    """Show images per second since the bar started."""

    def render(self, task: Task) -> Text:
        seconds = task.finished_time or task.elapsed
        return Text(f"{task.completed / seconds:,.0f} images/s" if seconds else "", style="cyan")


def progress_bars() -> Progress:
    """Make the progress bars of an ingest, with images per second, on stderr."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=console,
        disable=console.is_terminal and not can_redraw(console),
    )


@contextmanager
def bar(progress: Progress, description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar; yield the function that advances it."""
    task = progress.add_task(description, total=total)

    def advance(count: int) -> None:
        progress.advance(task, count)

    yield advance
    progress.stop_task(task)


def summarise(ingested: Sequence[Ingested], out: DataDirectory) -> Table:
    """Tabulate the subjects in the output directory, one row per subject."""
    table = Table(title=f"Subjects in {out}", title_justify="left")
    table.add_column("subject")
    for heading in ("train", "test", "vertices", "ROIs", "MB", "images/s"):
        table.add_column(heading, justify="right")
    for done in ingested:
        manifest = done.manifest
        rate = "was there" if done.seconds is None else f"{manifest.n_images / done.seconds:,.0f}"
        rois = sum(len(roi_names) for roi_names in manifest.rois.values())
        table.add_row(
            manifest.subject,
            f"{manifest.n_train:,}",
            f"{manifest.n_test:,}",
            " + ".join(f"{n:,} {side}" for side, n in manifest.n_vertices.items()),
            str(rois),
            f"{_bytes_of(out, manifest) / MEGABYTE:,.1f}",
            rate,
        )
    return table


def _bytes_of(out: DataDirectory, manifest: Manifest) -> int:
    shard = out.shard(f"{manifest.dataset}-{manifest.subject}")
    return sum((shard / name).stat().st_size for name in manifest.files)
