"""The directory of Ray Train's and Tune's own files, which are of no use after a command."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray


@contextmanager
def session_files() -> Iterator[str]:
    """Make a directory for Ray's files within the block, and remove it after it.

    It is in the directory of Ray's session, or else in the system's temporary directory, and never
    in a run directory, which several users may share. Each node has its own: no file is exchanged.
    """
    path = tempfile.mkdtemp(prefix="cortex-sweep-", dir=_session_directory())
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _session_directory() -> str | None:
    """Return the directory of Ray's session; None if this user can't write there."""
    context = ray.get_runtime_context()
    path = Path(context.get_temp_dir(), context.get_session_name())
    try:
        with tempfile.TemporaryFile(dir=path):
            return str(path)
    except OSError:
        return None
