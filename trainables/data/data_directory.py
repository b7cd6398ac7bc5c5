"""Paths in the directory of ingested subjects and tasks (DATA), with fetching from S3.

``SUBJECT/`` and ``tasks/TASK/`` contain ``rows-….parquet`` and a manifest, which is written last.
"""

from pathlib import Path
from typing import Final

from trainables.storage import s3_mirror
from trainables.storage.stored_directory import StoredDirectory

MANIFEST: Final = "manifest.json"
TASKS: Final = "tasks"


class DataDirectory(StoredDirectory):
    """The directory of ingested data; subjects and tasks are fetched from S3 on access."""

    def subject(self, name: str) -> Path:
        """Fetch a subject's manifest and vertices; return its directory, which may not exist.

        Raises OSError when S3 can't be read.
        """
        return fetch_small(self.path / name)

    @property
    def tasks(self) -> Path:
        """Directory of the image-classification tasks."""
        return self.path / TASKS


def fetch_small(directory: Path) -> Path:
    """Fetch the manifest and small tables of a subject or task; return its directory."""
    StoredDirectory(directory).fetch()
    return directory


def row_files(directory: Path) -> list[Path]:
    """List the row files of a subject or task in order, after fetching all of it."""
    StoredDirectory(directory).fetch_all()
    return sorted(directory.glob("rows-*.parquet"))


def row_file(path: Path) -> Path:
    """Fetch a row file and return its path: a read may run on another node than its planner."""
    return StoredDirectory(path.parent).fetched(path)


def publish(directory: Path) -> None:
    """Upload a new subject or task to S3, the manifest last. Do nothing for local data."""
    s3_mirror.upload_directory(directory, last=MANIFEST)
