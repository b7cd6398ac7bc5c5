"""Ingest an image-classification task: find it, check everything, then write all or nothing."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from orchestrator.cli.errors import InputError
from orchestrator.ingest.copies import find_copies, refuse_same_pictures
from orchestrator.ingest.entries import left_out
from orchestrator.ingest.images import check_images, remarks
from orchestrator.ingest.partial_directories import new_directory, remove_stale
from orchestrator.ingest.progress import bar, progress_bars
from orchestrator.ingest.run import check_out, show_notes
from orchestrator.ingest.settings import TaskFormat
from orchestrator.ingest.task.sources import (
    SPLIT_RULE,
    TaskSource,
    class_problems,
    find_task,
)
from orchestrator.ingest.writer import Batch
from trainables.data.data_directory import DataDirectory, is_there, manifest_file
from trainables.data.rows import RowWriter
from trainables.data.shards import TRAIN
from trainables.data.tasks import TaskManifest, task_schema
from trainables.spec import NAME_RULE, is_name
from trainables.storage.atomic import hash_files, write_text


def ingest_task(
    source: Path,
    out: DataDirectory,
    name: str,
    kind: TaskFormat,
    image_size: int = 224,
    num_cpus: int | None = None,
) -> TaskManifest:
    """Write a task's images and labels as shards to ``out/tasks/name``, and report their number.

    An existing task is skipped. Raises InputError with every problem of the source, before
    anything is written.
    """
    if not is_name(name):
        raise InputError(f"--name {name!r}: expected {NAME_RULE}")
    found = find_task(source, kind)
    manifest = _read_existing(found, out, name, image_size)
    state = "was there"
    if manifest is None:
        manifest, state = _ingest(found, out, name, image_size, num_cpus), "ingested"
    Console().print(
        f"{out.task(name)}: {state}; {manifest.n_images:,} images of {len(manifest.classes)} "
        f"classes, {manifest.n_train:,} train, {manifest.n_test:,} test",
        highlight=False,
        soft_wrap=True,
    )
    return manifest


def _read_existing(
    found: TaskSource, out: DataDirectory, name: str, image_size: int
) -> TaskManifest | None:
    """Read an existing task that equals the one to write, or None; refuse a different one."""
    directory = out.task(name)
    if not is_there(directory):
        return None
    try:
        manifest = TaskManifest.read(directory)
    except ValueError as error:
        raise InputError(str(error)) from error
    gone = [file for file in manifest.files if not out.has(directory / file)]
    differences = [f"{file} is missing" for file in gone]
    if manifest.image_size != image_size:
        differences.append(f"its image size is {manifest.image_size}, not {image_size}")
    if manifest.source != found.digest():
        differences.append("it was made from other source files")
    if differences:
        raise InputError(
            f"{directory}: already there, but {', '.join(differences)}; remove this directory to "
            "ingest the task again, or give another --name"
        )
    return manifest


def _ingest(
    found: TaskSource, out: DataDirectory, name: str, image_size: int, num_cpus: int | None
) -> TaskManifest:
    check_out(out)
    with progress_bars() as progress:
        with bar(progress, f"{name} checking", len(found.images)) as looked:
            chosen = check_task(found, looked)
        show_notes(chosen.notes)
        # Ray takes seconds to import: not before the source is known to be sound.
        from orchestrator.cluster.connection import connect
        from orchestrator.ingest.images import cropped, stream_images
        from orchestrator.ingest.run import counted

        connect(num_cpus)
        remove_stale(out.all_tasks)
        with bar(progress, f"{name} writing", len(chosen.images)) as advance:
            images = counted(stream_images(chosen.images, [image_size], cropped), advance)
            apart = refuse_same_pictures(images, chosen.images, name_groups(chosen))
            return write_task(chosen, apart, out.all_tasks, name, image_size)


def check_task(found: TaskSource, looked: Callable[[int], None]) -> TaskSource:
    """Check every image; return the task without copies of images within a class, and with notes.

    looked: called with the number of images checked since then. Raises InputError naming the
    images that can't be read, and those that are in two classes.
    """
    examined = check_images(found.images, looked)
    copies = find_copies([one.content for one in examined])
    crossing = [pair for pair in copies if found.labels[pair[0]] != found.labels[pair[1]]]
    if crossing:
        raise InputError(
            *(
                f"{found.images[row]}: the same picture as {found.images[first]}, in another "
                "class; remove the wrong one"
                for row, first in crossing
            )
        )
    rows = {row for row, _ in copies}
    kept = [row for row in range(len(found.images)) if row not in rows]
    chosen = replace(
        found,
        images=tuple(found.images[row] for row in kept),
        labels=tuple(found.labels[row] for row in kept),
        notes=(
            *found.notes,
            *remarks(found.images, examined),
            *left_out([found.images[row] for row in sorted(rows)], "a copy of another image"),
        ),
        source=found.digest(),
    )
    if complaints := class_problems(chosen):
        raise InputError(*complaints)
    return chosen


def name_groups(found: TaskSource) -> list[str]:
    """Name the side and the class of each image, within which copies are harmless."""
    pairs = zip(found.labels, found.sides, strict=True)
    return [f"a {side} image of class {found.classes[label]!r}" for label, side in pairs]


def write_task(
    found: TaskSource, images: Iterable[Batch], tasks: Path, name: str, image_size: int
) -> TaskManifest:
    """Write a task's rows and manifest; all of it appears at once.

    images: of every row, in order. If they stop with an error, nothing is left behind.
    """
    with new_directory(tasks, name) as partial:
        content = _write_rows(found, images, partial, image_size)
        sides = found.sides
        manifest = TaskManifest(
            name=name,
            image_size=image_size,
            n_images=len(found.images),
            n_train=sides.count(TRAIN),
            n_test=len(sides) - sides.count(TRAIN),
            classes=found.classes,
            split=SPLIT_RULE,
            split_digest=found.split_digest,
            source=found.digest(),
            content=content,
            files=hash_files(partial.iterdir()),
        )
        write_text(manifest_file(partial), manifest.to_json())
    return manifest


def _write_rows(found: TaskSource, images: Iterable[Batch], partial: Path, image_size: int) -> str:
    names, sides = found.names, found.sides
    with RowWriter(partial, task_schema(image_size)) as rows:
        for first, batch, *_ in images:
            last = first + len(batch)
            rows.write(
                {
                    "index": pa.array(range(first, last), pa.int32()),
                    "name": pa.array(names[first:last], pa.string()),
                    "label": pa.array(found.labels[first:last], pa.int32()),
                    "split": pa.array(sides[first:last], pa.string()),
                    "image": batch,
                }
            )
        return rows.close()
