"""A directory on a file system, or in S3 through its mirror on this machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from trainables.storage import s3_mirror


@dataclass(frozen=True)
class StoredDirectory:
    """A directory whose files may be in S3: they are fetched, and removed, through this object.

    For a directory of a file system, fetching does nothing.
    """

    path: Path
    """Where its files lie on this machine."""

    @classmethod
    def open(cls, text: str) -> Self:
        """Open a local directory, or ``s3://BUCKET/PREFIX``, and fetch its small files.

        Raises ValueError for an address that is not one, OSError where S3 can't be read.
        """
        found = cls(s3_mirror.place(text))
        found.fetch()
        return found

    def __str__(self) -> str:
        """Name the directory as people do: ``s3://…``, or its path."""
        return self.address

    @property
    def address(self) -> str:
        """``s3://BUCKET/PREFIX``, or the path of a local directory."""
        return s3_mirror.address(self.path)

    @property
    def is_in_s3(self) -> bool:
        """Whether the files here are copies of S3's."""
        return s3_mirror.is_mirror(self.path)

    def resolved(self) -> Self:
        """Return the same directory by its absolute path."""
        return type(self)(self.path.resolve())

    def address_of(self, path: Path) -> str:
        """Name a file or directory below this one as people do."""
        return s3_mirror.address(path)

    def fetch(self, *, prune: bool = False) -> None:
        """Copy S3's small files where they differ; weights, images and predictions stay there.

        prune: remove what S3 does not have, for a command that uses the directory alone. Raises
        OSError where S3 can't be read.
        """
        s3_mirror.pull(self.path, skip=s3_mirror.is_large, prune=prune)

    def fetch_all(self) -> None:
        """Copy S3's files, large ones too, where they differ; raise OSError as ``fetch``."""
        s3_mirror.pull(self.path)

    def fetched(self, path: Path) -> Path:
        """Return a path below this directory after copying what S3 has there, if it differs."""
        s3_mirror.pull(path)
        return path

    def remove(self, path: Path | None = None) -> None:
        """Remove a file or directory below this one, or all of it, in S3 and here."""
        s3_mirror.remove(self.path if path is None else path)
