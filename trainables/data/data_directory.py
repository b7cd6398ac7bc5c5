"""The directory of ingested subjects and tasks, which commands call DATA, and what S3 has of it.

``SUBJECT/`` and ``tasks/TASK/`` hold a manifest, which is written last, and ``rows-….parquet``.
"""

from pathlib import Path
from typing import Final

from trainables.storage import s3_mirror
from trainables.storage.stored_directory import StoredDirectory

MANIFEST: Final = "manifest.json"
TASKS: Final = "tasks"


class DataDirectory(StoredDirectory):
    """The directory of ingested data: its subjects and tasks are fetched as they are asked for."""

    def subject(self, name: str) -> Path:
        """Return a subject's directory after fetching its manifest and vertices.

        It may not exist. Raises OSError where S3 can't be read.
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
    """Return a row file after fetching it: a reader may run on another node than its planner."""
    return StoredDirectory(path.parent).fetched(path)


def publish(directory: Path) -> None:
    """Put a new subject's or task's files to S3, the manifest last; nothing for local data."""
    s3_mirror.upload_directory(directory, last=MANIFEST)
