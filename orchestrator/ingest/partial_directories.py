"""Directories that appear complete or not at all: filled under a temporary name, then renamed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.cli.errors import InputError
from trainables.data.data_directory import is_there, publish
from trainables.storage.disk_space import full_disk_described
from trainables.storage.local_files import rename, sync_directory, sync_file
from trainables.storage.temporary_files import remove_abandoned, temporary_name


def remove_stale(out: Path) -> None:
    """Remove what killed ingests left in a data directory, unless its owner may still run.

    Several ingests, also of several hosts, may write different subjects to one directory.
    """
    remove_abandoned(out, below=False)


@contextmanager
def scratch_directory(out: Path, name: str) -> Iterator[Path]:
    """Create a hidden directory beside the shards, and remove it at the end.

    One that a killed ingest left is removed by `remove_stale`.
    """
    scratch = out / temporary_name(f"{name}-scratch")
    try:
        with full_disk_described(out):
            scratch.mkdir(parents=True)
            yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def new_directory(out: Path, name: str) -> Iterator[Path]:
    """Create a hidden directory to fill, rename it at the end, and remove it on any error.

    In S3, its files are uploaded before the renaming: what this machine has, S3 has.
    """
    partial = out / temporary_name(name)
    try:
        with full_disk_described(out):
            partial.mkdir(parents=True)
            yield partial
            for path in partial.iterdir():
                sync_file(path)
            sync_directory(partial)
        if is_there(out / name):
            raise InputError(f"{out / name}: another ingest has just written it; run this again")
        publish(partial, out / name)
        if (out / name).exists():  # in a mirror, remains without a manifest
            shutil.rmtree(out / name)
        rename(partial, out / name)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
