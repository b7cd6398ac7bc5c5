"""Write one checked subject as a shard directory: all of it, or nothing."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Hemisphere, KeptTrials, Subject
from orchestrator.ingest.partial_directories import new_directory
from orchestrator.ingest.settings import Settings
from trainables.data.data_directory import (
    DataDirectory,
    class_ceilings_file,
    image_kind,
    is_there,
    manifest_file,
    stimuli_file,
    vertices_file,
)
from trainables.data.row_columns import image_schema, row_schema
from trainables.data.rows import RowWriter
from trainables.data.shards import TRAIN, Manifest
from trainables.data.trials import trial_schema
from trainables.data.vertex_columns import COORDINATES, vertex_schema
from trainables.storage.atomic import hash_files, write_parquet, write_text


class Source(Protocol):
    """One subject's files, in any layout."""

    @property
    def subject(self) -> str:
        """Name the subject."""

    @property
    def shard(self) -> str:
        """Name the directory that this subject is written to."""

    def count_images(self) -> int:
        """Count the images to check."""

    def digest(self) -> str:
        """Digest the source, so that a change is noticed."""


Batch = tuple[int, *tuple[pa.Array, ...]]
"""The row of the first image, and the images as channels-first bytes: those of the rows, then those
of each further size."""


def read_existing(files: Source, out: DataDirectory, settings: Settings) -> Manifest | None:
    """Read the manifest of an existing subject that equals the one to write, or None.

    Raises InputError when it was made from another source or with other settings.
    """
    shard = out.shard(files.shard)
    if not is_there(shard):
        return None
    try:
        manifest = Manifest.read(shard)
    except ValueError as error:
        raise InputError(f"{error}: remove {shard}, or choose another --out") from error
    gone = [name for name in manifest.files if not out.has(shard / name)]
    differences = [f"{name} is missing" for name in gone]
    if manifest.split != settings.split:
        differences.append(f"its split is {manifest.split!r}, not {settings.split!r}")
    differences += _image_differences(manifest, settings)
    differences += [
        f"it was made with {name} {manifest.choices.get(name, 'the default')}, not "
        f"{settings.choices.get(name, 'the default')}"
        for name in dict.fromkeys([*settings.choices, *manifest.choices])
        if manifest.choices.get(name) != settings.choices.get(name)
    ]
    if manifest.is_simulated != settings.is_simulated:
        kinds = {True: "simulated", False: "measured"}
        kind, asked = kinds[manifest.is_simulated], kinds[settings.is_simulated]
        differences.append(f"its manifest calls it {kind}, and its source is {asked}")
    if manifest.source != files.digest():
        differences.append("it was made from other source files (or noise ceilings)")
    if differences:
        raise InputError(
            f"{shard}: already there, but {', '.join(differences)}; remove this directory to "
            "ingest the subject again, or choose another --out"
        )
    return manifest


def _image_differences(manifest: Manifest, settings: Settings) -> list[str]:
    """List how the images of an existing subject differ from those to write.

    Further sizes than those asked for are no difference.
    """
    found = []
    if manifest.image_size != settings.image_size:
        found.append(f"its image size is {manifest.image_size}, not {settings.image_size}")
    missing = [size for size in settings.further_sizes if size not in manifest.image_sizes]
    if missing:
        found.append(f"it has no images of {' and '.join(map(str, missing))} pixels")
    if manifest.interpolation != settings.interpolation:
        found.append(f"its images are {manifest.interpolation}, not {settings.interpolation}")
    return found


def write_subject(
    subject: Subject, images: Iterable[Batch], out: DataDirectory, settings: Settings
) -> Manifest:
    """Pair a subject's images with their responses and write both; all of it appears at once.

    images: of every row, in order. If they stop with an error, nothing is left behind.
    """
    with new_directory(out.path, subject.shard) as partial:
        rows, further = _write_rows(subject, images, partial, settings)
        content = [rows]
        if subject.trials is not None:
            content += _write_trials(subject, subject.trials, partial)
        write_parquet(vertices_file(partial), _vertex_table(subject.hemispheres))
        if subject.stimulus_table is not None:
            write_parquet(stimuli_file(partial), subject.stimulus_table)
        if subject.class_ceilings is not None:
            write_parquet(class_ceilings_file(partial), subject.class_ceilings)
        manifest = _describe(subject, settings, (content, further), hash_files(partial.iterdir()))
        write_text(manifest_file(partial), manifest.to_json())
    return manifest


def _write_rows(
    subject: Subject, images: Iterable[Batch], partial: Path, settings: Settings
) -> tuple[str, dict[str, str]]:
    """Write every image with its responses, and the images of further sizes apart.

    Returns the digest of images and responses, and of the images at each further size.
    """
    n_vertices = {name: half.n_vertices for name, half in subject.hemispheres.items()}
    responses, trials = subject.responses(), subject.trials
    with ExitStack() as opened:
        schema = row_schema(settings.image_size, n_vertices, counts_trials=trials is not None)
        rows = opened.enter_context(RowWriter(partial, schema))
        further = {
            size: opened.enter_context(RowWriter(partial, image_schema(size), image_kind(size)))
            for size in settings.further_sizes
        }
        for first, batch, *at_sizes in images:
            last = first + len(batch)
            index = pa.array(range(first, last), pa.int32())
            columns = {
                "index": index,
                "stimulus": pa.array(subject.stimuli[first:last], pa.string()),
                "split": pa.array(subject.split.sides[first:last], pa.string()),
                "order": pa.array(subject.split.orders[first:last], pa.int32()),
                "image": batch,
                **{name: _as_lists(matrix[first:last]) for name, matrix in responses.items()},
            }
            if trials is not None:
                columns["n_trials"] = pa.array(trials.counts[first:last], pa.int32())
            rows.write(columns)
            for writer, at_size in zip(further.values(), at_sizes, strict=True):
                writer.write({"index": index, "image": at_size})
        return rows.close(), {str(size): writer.close() for size, writer in further.items()}


def _write_trials(subject: Subject, kept: KeptTrials, partial: Path) -> list[str]:
    """Write the trials of every training image; return digests of them and of their numbers."""
    n_vertices = {name: half.n_vertices for name, half in subject.hemispheres.items()}
    matrices, first = kept.of(), 0
    with RowWriter(partial, trial_schema(n_vertices), "trials") as rows:
        for image in np.flatnonzero(np.array(subject.split.sides) == TRAIN).tolist():
            last = first + int(kept.counts[image])
            columns = {name: _as_lists(one.trials_of(image)) for name, one in matrices.items()}
            columns["index"] = pa.array([image] * (last - first), pa.int32())
            columns["trial"] = pa.array(range(first, last), pa.int32())
            rows.write(columns)
            first = last
        numbers = np.asarray(kept.counts, np.int64).tobytes()
        return [rows.close(), hashlib.sha256(numbers).hexdigest()]


def _as_lists(rows: NDArray[np.floating[Any]]) -> pa.FixedSizeListArray:
    """Wrap (n, n_vertices) responses as n lists of float32."""
    flat = np.ascontiguousarray(rows, dtype=np.float32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), rows.shape[1])


def _vertex_table(hemispheres: Mapping[str, Hemisphere]) -> pa.Table:
    """Tabulate every vertex, labelled or not, by hemisphere and column of the responses."""
    parts = [_vertex_rows(name, hemisphere) for name, hemisphere in hemispheres.items()]
    used = {name for part in parts for name in part}
    optional = [name for name in COORDINATES if name in used]
    may_be_null = {name: any(part[name].null_count for part in parts) for name in optional}
    schema = vertex_schema(may_be_null)
    return pa.concat_tables([pa.table(part, schema=schema) for part in parts])


def _vertex_rows(name: str, hemisphere: Hemisphere) -> dict[str, pa.Array]:
    n_vertices = hemisphere.n_vertices
    roi_names: list[list[str]] = [[] for _ in range(n_vertices)]
    for roi_name, vertices in hemisphere.regions.items():
        for vertex in vertices:
            roi_names[vertex].append(roi_name)
    fsaverage, ceiling = hemisphere.fsaverage, hemisphere.noise_ceiling
    nothing = pa.nulls(n_vertices)
    return {
        "hemisphere": pa.array([name] * n_vertices, pa.string()),
        "vertex": pa.array(range(n_vertices), pa.int32()),
        "fsaverage": nothing.cast(pa.int32()) if fsaverage is None else pa.array(fsaverage),
        "noise_ceiling": nothing.cast(pa.float32())
        if ceiling is None
        else pa.array(ceiling, from_pandas=True),
        "rois": pa.array(roi_names, pa.list_(pa.string())),
        **{
            name: pa.array(values, COORDINATES[name], from_pandas=True)
            for name, values in hemisphere.coordinates.items()
        },
    }


def _describe(
    subject: Subject,
    settings: Settings,
    digests: tuple[Sequence[str], dict[str, str]],
    files: dict[str, str],
) -> Manifest:
    """Describe a subject; digests: of its rows, and of the images at each further size."""
    content, further = digests
    halves = subject.hemispheres
    rois = {
        name: {roi_name: len(vertices) for roi_name, vertices in half.regions.items()}
        for name, half in halves.items()
    }
    return Manifest(
        dataset=subject.dataset,
        subject=subject.subject,
        image_size=settings.image_size,
        n_images=len(subject.images),
        n_train=subject.split.n_train,
        n_test=subject.split.n_test,
        n_vertices={name: half.n_vertices for name, half in halves.items()},
        rois=rois,
        split=settings.split,
        split_digest=subject.split.digest,
        source=subject.source,
        content=_content(content, halves),
        files=files,
        choices=dict(settings.choices),
        is_simulated=settings.is_simulated,
        noise_ceiling_formula=subject.noise_ceiling_formula,
        further_images=further,
        interpolation=settings.interpolation,
        n_trials=None if subject.trials is None else count_kept(subject, subject.trials),
    )


def count_kept(subject: Subject, trials: KeptTrials) -> int:
    """Count the single trials that are written: those of training images."""
    return int(trials.counts[np.array(subject.split.sides) == TRAIN].sum())


def _content(rows: Sequence[str], hemispheres: Mapping[str, Hemisphere]) -> str:
    """Digest rows, by their own digests, and ROIs, so that two masks with equal counts differ."""
    regions = {
        name: {roi_name: vertices.tolist() for roi_name, vertices in half.regions.items()}
        for name, half in hemispheres.items()
    }
    return hashlib.sha256(json.dumps([*rows, regions], sort_keys=True).encode()).hexdigest()
