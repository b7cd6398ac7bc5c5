"""All paths of the directory of ingested data, which commands call DATA, and fetching from S3.

====================================== =========================================================
``SUBJECT/``                           a subject's shards, such as ``nsd-subj01/``
``tasks/TASK/``                        the shards of an image-classification task
``…/rows-00000.parquet`` …             in both: one row per image
``SUBJECT/trials-00000.parquet`` …     one row per trial, where trials are kept apart
``…/manifest.json``                    in both: describes the other files; written last
``SUBJECT/images-336-00000.parquet`` … the images at a further size; of some data sets
``SUBJECT/vertices.parquet``           one row per vertex
``SUBJECT/stimuli.parquet``            one row per image, with its classes; of some data sets
``SUBJECT/class_ceilings.parquet``     noise ceilings over the images of a class; of some data sets
====================================== =========================================================

A directory without a manifest is not complete, and is not listed.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from trainables.spec import is_name
from trainables.spec.records import parse_json, read_bounded
from trainables.storage import s3_mirror
from trainables.storage.atomic import hash_file
from trainables.storage.stored_directory import StoredDirectory

MANIFEST: Final = "manifest.json"
VERTICES: Final = "vertices.parquet"
STIMULI: Final = "stimuli.parquet"
CLASS_CEILINGS: Final = "class_ceilings.parquet"

RowKind = str
"""Files of rows by the beginning of their names: ``rows`` of images, ``trials`` of single trials,
or ``images-336`` of the images at a further size."""


class DataDirectory(StoredDirectory):
    """The directory of ingested data: names and lists subjects and tasks, and fetches them."""

    def fetch(self, *, prune: Iterable[Path] = ()) -> None:
        """Download small files that differ from S3's, as the base class.

        The manifests of subjects and tasks that S3 no longer has are removed here.
        """
        complete = [*_complete(self.path), *_complete(self.all_tasks)]
        super().fetch(prune=[*prune, *map(manifest_file, complete)])

    def shard(self, name: str) -> Path:
        """Name the directory of a subject's shards, which may not exist or not be fetched."""
        return self.path / name

    def fetched_shard(self, name: str) -> Path:
        """Return a subject's directory after fetching its manifest and vertices.

        It may not exist. Raises OSError if S3 can't be read.
        """
        return fetch_small(self.shard(name))

    def shards(self) -> list[Path]:
        """List the directories of the complete subjects, sorted by name.

        A directory whose manifest is of another name, such as a backup copy, is left out.
        """
        misnamed = self.misnamed()
        return [shard for shard in _complete(self.path) if shard not in misnamed]

    def misnamed(self) -> dict[Path, str]:
        """Map the directories of subjects that were copied or renamed to their original names."""
        keys = ("dataset", "subject")
        names = {shard: _original_name(shard, keys) for shard in _complete(self.path)}
        return {shard: name for shard, name in names.items() if name != shard.name}

    @property
    def all_tasks(self) -> Path:
        """Directory of the image-classification tasks."""
        return self.path / "tasks"

    def task(self, name: str) -> Path:
        """Name the directory of a task's shards, which may not exist."""
        return self.all_tasks / name

    def tasks(self) -> list[Path]:
        """List the directories of the complete tasks, sorted by name, without copies."""
        found = _complete(self.all_tasks)
        return [task for task in found if _original_name(task, ("name",)) == task.name]

    def fingerprint(self) -> str:
        """Hash every subject's manifest: the data set as it was ingested."""
        hashes = "".join(hash_file(manifest_file(shard)) for shard in self.shards())
        return hashlib.sha256(hashes.encode()).hexdigest()[:16]


def _complete(parent: Path) -> list[Path]:
    """List the directories that have a manifest, without hidden ones, sorted by name."""
    return sorted(path.parent for path in parent.glob(f"[!.]*/{MANIFEST}"))


def _original_name(directory: Path, keys: tuple[str, ...]) -> str:
    """Return the name that a subject or task was ingested under; its directory's if unknown.

    keys: fields of the manifest that make up the name.
    """
    try:
        content = _read_manifest(directory)
    except ValueError:
        return directory.name
    parts = [content.get(key) for key in keys]
    return "-".join(map(str, parts)) if all(map(is_name, parts)) else directory.name


def _read_manifest(directory: Path) -> dict[str, Any]:
    """Parse the manifest of a subject or task without validating it.

    Raises ValueError if it is missing, or no JSON object.
    """
    path = manifest_file(directory)
    try:
        content = parse_json(read_bounded(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}; remove {directory} and ingest again") from error
    return content if isinstance(content, dict) else {}


def listed_files(directory: Path) -> dict[str, str]:
    """Read the SHA-256 of each file that the manifest of a subject or task lists, by file name.

    Raises ValueError if the manifest can't be read.
    """
    files = _read_manifest(directory).get("files")
    pairs = files.items() if isinstance(files, dict) else ()
    return {name: str(sha256) for name, sha256 in pairs if is_name(name)}


def manifest_file(directory: Path) -> Path:
    """Name the manifest of a subject or task."""
    return directory / MANIFEST


def vertices_file(shard: Path) -> Path:
    """Name the table of a subject's vertices."""
    return shard / VERTICES


def stimuli_file(shard: Path) -> Path:
    """Name the table of a subject's images, which only some data sets have."""
    return shard / STIMULI


def class_ceilings_file(shard: Path) -> Path:
    """Name the table of noise ceilings by class of images, which only some data sets have."""
    return shard / CLASS_CEILINGS


def row_file(directory: Path, number: int, kind: RowKind = "rows") -> Path:
    """Name a row file of a subject or task by its number, from 0."""
    if (size := further_size(kind)) is not None:
        return directory / f"images-{size}-{number:05d}.parquet"
    if kind == "trials":
        return directory / f"trials-{number:05d}.parquet"
    return directory / f"rows-{number:05d}.parquet"


def image_kind(further_size: int) -> RowKind:
    """Name the kind of files that hold a subject's images at a further size."""
    return f"images-{further_size}"


def further_size(kind: RowKind) -> int | None:
    """Return the size of the images in files of a kind; None for rows and trials."""
    start, _, size = kind.rpartition("images-")
    return int(size) if not start and size.isdecimal() else None


def row_files(directory: Path, kind: RowKind = "rows") -> list[Path]:
    """List the row files that the manifest of a subject or task lists, in order.

    Raises ValueError if the manifest can't be read.
    """
    names = sorted(name for name in listed_files(directory) if name.startswith(f"{kind}-"))
    return [directory / name for name in names]


def fetch_small(directory: Path) -> Path:
    """Fetch the manifest and small tables of a subject or task; return its directory."""
    StoredDirectory(directory).fetch(prune=[manifest_file(directory)])
    return directory


def fetch_rows(directory: Path, kind: RowKind = "rows") -> Path:
    """Fetch the files of a subject or task, its rows too; return its directory.

    kind: of the images at a further size: fetch these too, which are left there otherwise.
    """
    StoredDirectory(directory).fetch_all(skip=lambda path: is_of_other_size(path, kind))
    return directory


def is_of_other_size(path: Path, kind: RowKind) -> bool:
    """Return whether a file holds images at another further size than those of a kind."""
    return path.name.startswith("images-") and not path.name.startswith(f"{kind}-")


def fetched_row_file(path: Path) -> Path:
    """Fetch a file of rows or images, and return its path.

    A read may run on another node than its planner.
    """
    return StoredDirectory(path.parent).fetched(path)


def publish(source: Path, directory: Path) -> None:
    """Upload the files of a new subject or task to S3, the manifest last.

    source: where they are before they appear in directory. Do nothing for local data.
    """
    s3_mirror.upload_directory(source, directory, last=MANIFEST)


def is_there(directory: Path) -> bool:
    """Return whether a subject or task has been written.

    In a mirror of S3, files without a manifest are of one whose upload failed, or that was removed
    in S3.
    """
    in_s3 = StoredDirectory(directory).is_in_s3
    return manifest_file(directory).exists() if in_s3 else directory.exists()
