"""The place and size of a local Ray: the directory of its sockets, and its object store."""

import os
import shutil
from pathlib import Path
from typing import Final

from ray._common.utils import get_system_memory
from ray._private.utils import estimate_available_memory

from orchestrator.cli.errors import InputError
from trainables.compute.memory import memory_limit
from trainables.storage.local_files import existing_part

GIB: Final = 2**30
MIB: Final = 2**20
MAX_OBJECT_STORE: Final = 2 * GIB
MIN_OBJECT_STORE: Final = 128 * MIB
SHARE_OF_MEMORY: Final = 0.3
USABLE: Final = 0.9
"""Share of a file system's free space that the object store may take."""
SHARED_MEMORY: Final = Path("/dev/shm")
MAX_SOCKET_PATH: Final = 103
"""Bytes of a Unix socket's path, on every system; Linux allows 107."""
SOCKET: Final = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.10"
"""The longest path of a socket below Ray's directory."""
SYSTEM: Final = Path("/tmp")


def ray_directory() -> Path:
    """Choose the directory of Ray's sessions: ``ray`` in RAY_TMPDIR, TMPDIR or /tmp.

    Batch systems set a TMPDIR that is too long for the paths of sockets: then, and if it is not
    writable, it is in /tmp. Raises InputError with the cure if no directory is suitable.
    """
    given = os.environ.get("RAY_TMPDIR")
    if given:
        places = [Path(given).absolute() / "ray"]
    else:
        places = [Path(os.environ.get("TMPDIR") or SYSTEM).absolute() / "ray"]
        places += [SYSTEM / "ray", SYSTEM / f"ray-{os.getuid()}"]
    problems = [_problem(place) for place in places]
    for place, problem in zip(places, problems, strict=True):
        if problem is None:
            return place
    cure = "give a short, writable directory: export RAY_TMPDIR=/tmp"
    raise InputError(f"Ray needs a directory for its sockets, but {problems[0]}; {cure}")


def _problem(place: Path) -> str | None:
    """Describe why Ray can't use a directory; None if it can."""
    n_bytes = len(os.fsencode(place / SOCKET))
    if n_bytes > MAX_SOCKET_PATH:
        room = MAX_SOCKET_PATH - (n_bytes - len(os.fsencode(place.parent)))
        return f"the path {place.parent} has more than {room} bytes"
    there = existing_part(place)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return f"{there} is not a writable directory"
    return None


def object_store_size(directory: Path, shared: Path = SHARED_MEMORY) -> int:
    """Return the bytes of a local object store: 30 % of the memory, at most 2 GiB.

    It is smaller where shared memory is, which is 64 MiB in Docker; if that is too small for Ray,
    the store is in Ray's directory instead. Raises InputError with the cure if neither has space.
    """
    wanted = min(MAX_OBJECT_STORE, int(memory_limit() * SHARE_OF_MEMORY))
    there = existing_part(directory)
    for place in (shared, there):
        size = min(wanted, int(_free(place) * USABLE))
        if size >= MIN_OBJECT_STORE:
            return size
    raise InputError(
        f"{shared} has {_free(shared) // MIB} MiB free, and {directory} "
        f"{_free(there) // MIB} MiB; Ray needs {MIN_OBJECT_STORE // MIB} MiB in one "
        "of them: docker run --shm-size=2g, or export RAY_TMPDIR to a directory with space"
    )


def worker_memory(object_store: int) -> int | None:
    """Return the bytes of memory for the workers of a local Ray; None where Ray counts them itself.

    Ray does not see the limits of Slurm, nor those of control groups below its root.
    """
    limit = memory_limit()
    if limit >= get_system_memory():
        return None
    available: int = estimate_available_memory()  # type: ignore[no-untyped-call]
    return max(MIN_OBJECT_STORE, min(limit, available) - object_store)


def _free(place: Path) -> int:
    """Return the free bytes of a file system; 0 if there is none."""
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return 0
