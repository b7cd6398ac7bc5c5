"""A directory on a file system, or in S3 through its mirror on this machine."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from trainables.storage import s3_mirror
from trainables.storage.s3_mirror import CheckDownload
from trainables.storage.temporary_files import remove_abandoned


@dataclass(frozen=True)
class StoredDirectory:
    """A directory that may be in S3; this object fetches and removes its files.

    For a directory of a file system, fetching does nothing.
    """

    path: Path
    """Path of its files on this machine."""

    @classmethod
    def open(cls, text: str) -> Self:
        """Open a local directory, or ``s3://BUCKET/PREFIX``, and fetch its small files.

        Raises ValueError for an invalid address, OSError if S3 can't be read.
        """
        found = cls(s3_mirror.place(text))
        found.fetch()
        return found

    def __str__(self) -> str:
        """Return the address to show to users: ``s3://…``, or the local path."""
        return self.address

    @property
    def address(self) -> str:
        """``s3://BUCKET/PREFIX``, or the path of a local directory."""
        return s3_mirror.address(self.path)

    @property
    def is_in_s3(self) -> bool:
        """Whether the local files are copies of objects in S3."""
        return s3_mirror.is_mirror(self.path)

    def resolved(self) -> Self:
        """Return the same directory with an absolute path."""
        return type(self)(self.path.resolve())

    def address_of(self, path: Path) -> str:
        """Return the address of a file or directory below this one, to show to users."""
        return s3_mirror.address(path)

    def fetch(self, *, prune: Iterable[Path] = ()) -> None:
        """Download small files that differ from S3's; skip weights, images and predictions.

        prune: local files to remove if S3 does not have them; safe for those that were uploaded
        before they appeared here. Raises OSError if S3 can't be read.
        """
        s3_mirror.pull(self.path, skip=s3_mirror.is_large, prune=prune)

    def fetch_all(
        self,
        *,
        skip: Callable[[Path], bool] = lambda path: False,
        check: CheckDownload = s3_mirror.allow,
    ) -> None:
        """Download all files that differ from S3's, large ones too; raise OSError as ``fetch``.

        skip: files to leave there. check: called before and during downloads; what it raises is
        raised.
        """
        s3_mirror.pull(self.path, skip=skip, check=check)

    def fetched(self, path: Path, *, check: CheckDownload = s3_mirror.allow) -> Path:
        """Return a file below this directory, after downloading it if it differs from S3's.

        check: as for ``fetch_all``.
        """
        s3_mirror.pull_file(path, check)
        return path

    def has(self, path: Path) -> bool:
        """Return whether a file below this directory exists: in S3 if the directory is there."""
        return s3_mirror.exists(path)

    def remove(self, path: Path | None = None) -> None:
        """Remove a file or directory below this one, or all of it, in S3 and locally."""
        s3_mirror.remove(self.path if path is None else path)

    def sweep(self, *, skip: tuple[str, ...] = ()) -> list[Path]:
        """Remove temporary files that nobody owns; for S3, from all mirrors of this machine.

        skip: names of subdirectories to leave. Returns the paths of the removed files.
        """
        removed = remove_abandoned(self.path, skip=skip)
        return removed + s3_mirror.remove_abandoned() if self.is_in_s3 else removed
