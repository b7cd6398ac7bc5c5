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
from rich.table import Table

from orchestrator.cli.errors import InputError
from orchestrator.cli.problems import summed_up
from orchestrator.ingest.algonauts.files import find_subjects
from orchestrator.ingest.algonauts.inspection import inspect_subject
from orchestrator.ingest.checked import Findings, Subject
from orchestrator.ingest.copies import refuse_same_pictures
from orchestrator.ingest.nod.files import NodFiles
from orchestrator.ingest.partial_directories import remove_stale, scratch_directory
from orchestrator.ingest.progress import bar, byte_bars, progress_bars
from orchestrator.ingest.settings import NodChoices, Settings
from orchestrator.ingest.simulated import is_simulated
from orchestrator.ingest.writer import (
    Batch,
    Source,
    count_kept,
    read_existing,
    write_subject,
)
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest
from trainables.storage.disk_space import free_bytes
from trainables.storage.local_files import existing_part

AnySource = TypeVar("AnySource", bound=Source)
Inspect = Callable[[AnySource, str, Findings, Callable[[int], None]], Subject | None]
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
    ingested = [(done | written)[file.shard] for file in files]
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
            done[file.shard] = Ingested(manifest, None)
    findings.attempt(check_out, out)
    waiting = [file for file in files if file.shard not in done]
    with progress_bars() as progress:
        for file in waiting:
            with bar(progress, f"{file.shard} checking", file.count_images()) as looked:
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
    from orchestrator.ingest.pixels import resized

    connect(num_cpus)
    written = {}
    for checked in subjects:
        start = time.perf_counter()
        with (
            prepared(checked, out) as subject,
            progress_bars() as progress,
            bar(progress, f"{subject.shard} writing", len(subject.images)) as advance,
        ):
            fit = partial(resized, interpolation=settings.interpolation)
            decoded = stream_images(subject.images, settings.image_sizes, fit)
            images = counted(decoded, advance)
            apart = refuse_same_pictures(images, subject.images, subject.split.sides)
            manifest = write_subject(subject, apart, out, settings)
        written[checked.shard] = Ingested(manifest, time.perf_counter() - start)
    return written


@contextmanager
def prepared(subject: Subject, out: DataDirectory) -> Iterator[Subject]:
    """Make the pass over a subject's source that it needs, and yield what is to be written."""
    if (preparation := subject.preparation) is None:
        yield subject
        return
    with scratch_directory(out.path, subject.shard) as scratch:
        with byte_bars() as progress:
            name = f"{subject.shard} reading responses"
            with bar(progress, name, preparation.n_bytes) as advance:
                ready = preparation.run(scratch, advance)
        yield ready


def show_notes(notes: Sequence[str]) -> None:
    """Print what the user should know of a source that is sound, a line for each kind."""
    for note in summed_up(notes):
        Console().print(f"note: {note}", highlight=False, soft_wrap=True, markup=False)


def counted(images: Iterable[Batch], advance: Callable[[int], None]) -> Iterator[Batch]:
    """Yield batches unchanged, and report the number of images of each."""
    for first, batch, *further in images:
        yield first, batch, *further
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
    needed = sum(_size(subject, settings.image_sizes) for subject in subjects)
    free = free_bytes(out.path)
    if needed > free:
        raise InputError(
            f"{out}: the shards need {needed / MEGABYTE:,.0f} MB, {free / MEGABYTE:,.0f} MB are "
            "free; choose another --out, or fewer --subjects at a time"
        )


def _size(subject: Subject, image_sizes: Sequence[int]) -> int:
    """Estimate the bytes of a subject's shards, float32 responses and images, and on the way."""
    vertices = sum(half.n_vertices for half in subject.hemispheres.values())
    scratch = 0 if subject.preparation is None else subject.preparation.n_scratch_bytes
    n_trials = 0 if subject.trials is None else count_kept(subject, subject.trials)
    n_images, pixels = len(subject.images), sum(size**2 for size in image_sizes)
    return n_images * 3 * pixels + 4 * (n_images + n_trials) * vertices + scratch


def summarise(ingested: Sequence[Ingested], out: DataDirectory) -> Table:
    """Tabulate the subjects in the output directory, one row per subject."""
    table = Table(title=f"Subjects in {out}", title_justify="left")
    table.add_column("subject", no_wrap=True)
    for heading in ("train", "test", "vertices", "ROIs", "MB", "images/s"):
        table.add_column(heading, justify="right")
    for done in ingested:
        manifest = done.manifest
        rate = "was there" if done.seconds is None else f"{manifest.n_images / done.seconds:,.0f}"
        rois = sum(len(roi_names) for roi_names in manifest.rois.values())
        table.add_row(
            f"{manifest.dataset}-{manifest.subject}",
            describe_training(manifest.n_train, manifest.n_trials),
            f"{manifest.n_test:,}",
            " + ".join(f"{n:,} {side}" for side, n in manifest.n_vertices.items()),
            str(rois),
            f"{_bytes_of(out, manifest) / MEGABYTE:,.1f}",
            rate,
        )
    return table


def describe_training(n_train: int, n_trials: int | None) -> str:
    """Count training images, and the single trials of them that are kept."""
    return f"{n_train:,}" if n_trials is None else f"{n_train:,} ({n_trials:,} trials)"


def _bytes_of(out: DataDirectory, manifest: Manifest) -> int:
    shard = out.shard(f"{manifest.dataset}-{manifest.subject}")
    return sum((shard / name).stat().st_size for name in manifest.files)
