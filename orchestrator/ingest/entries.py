"""Which entries of a user's folder belong to the data set, and whether they can be opened.

Operating systems, editors, synchronisation and file servers leave files of their own in every
folder. These are no part of a data set. A link or pointer whose content was not fetched is one.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from orchestrator.cli.errors import InputError
from orchestrator.cli.problems import printable
from trainables.wording import some

Key = TypeVar("Key")
MAX_DEPTH: Final = 3
MAX_FOLDERS: Final = 500
IMAGE_SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".ppm", ".pgm", ".bmp", ".webp", ".gif"),
    *(".tif", ".tiff"),
)
"""Endings of images, in lower case."""
_STRANGER: Final = re.compile(
    r"\..*"  # .DS_Store, ._NAME of macOS, .snapshot, .ipynb_checkpoints, .nfs0000, .~lock.NAME#
    r"|thumbs\.db|ehthumbs(_vista)?\.db|desktop\.ini|icon\r|\$recycle\.bin"
    r"|system volume information|__macosx|__pycache__|lost\+found"
    r"|@eadir|@tmp|@recycle|#recycle|#snapshot|@__thumb"  # Synology, QNAP
    r"|.*~|~\$.*|#.*#|.*\.(bak|tmp|temp|swp|swo|orig)"
    r"|.*\.sync-conflict-\d.*|.*conflicted copy.*|.*\.sb-[0-9a-f]{8}-\w{6}",
    re.IGNORECASE | re.DOTALL,
)
_UNFINISHED: Final = re.compile(
    r".*\.(part|partial|filepart|crdownload|opdownload|aria2|icloud|!ut)", re.IGNORECASE | re.DOTALL
)
_ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst", ".7z")
_POINTERS: Final = {
    b"/annex/objects/": "a pointer of git-annex",
    b"version https://git-lfs": "a pointer of Git LFS",
}
_POINTER_BYTES: Final = 1024
"""Pointers are smaller."""
_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def is_stranger(name: str) -> bool:
    """Return whether a name is one that systems, editors and servers give to files of their own.

    >>> [is_stranger(name) for name in (".DS_Store", "Thumbs.db", "a.png~", "a.png")]
    [True, True, True, False]
    """
    return _STRANGER.fullmatch(name) is not None and _UNFINISHED.fullmatch(name) is None


def is_image(path: Path) -> bool:
    """Return whether a file is an image by the ending of its name."""
    return path.suffix.lower() in IMAGE_SUFFIXES


@dataclass(frozen=True)
class Entries:
    """What is in a folder."""

    kept: tuple[Path, ...]
    """Entries of the data set, sorted; also links that lead nowhere."""
    strangers: tuple[Path, ...]

    def require_finished(self) -> None:
        """Raise InputError naming the files whose download was not finished."""
        lines = [
            f"{path}: its download was not finished; download it again, or remove it"
            for path in self.kept
            if _UNFINISHED.fullmatch(path.name)
        ]
        if lines:
            raise InputError(*lines)


def list_entries(folder: Path) -> Entries:
    """List a folder, without what is below it; nothing where there is no such folder."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return Entries(
        kept=tuple(path for path in found if not is_stranger(path.name)),
        strangers=tuple(path for path in found if is_stranger(path.name)),
    )


def list_tree(folder: Path) -> Entries:
    """List the files at any depth below a folder, also behind links to directories."""
    kept: list[Path] = []
    strangers: list[Path] = []
    for entries in _walk(folder, frozenset()):
        kept += [path for path in entries.kept if not path.is_dir()]
        strangers += entries.strangers
    return Entries(tuple(sorted(kept)), tuple(strangers))


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[Entries]:
    """Yield the entries of a folder and of those below it, once for a link that leads upwards."""
    real = folder.resolve()
    if real in above:
        return
    entries = list_entries(folder)
    yield entries
    for path in entries.kept:
        if path.is_dir():
            yield from _walk(path, above | {real})


def folders_below(folder: Path) -> Iterator[Path]:
    """Yield the folders in a folder, then those in them, down to MAX_DEPTH.

    It ends after a level with which there are more than MAX_FOLDERS: what is looked for was
    unpacked a few levels too deep, and is not searched for in a home directory.
    """
    level, n_found = [folder], 0
    for _ in range(MAX_DEPTH):
        level = [path for one in level for path in list_entries(one).kept if path.is_dir()]
        n_found += len(level)
        yield from level
        if n_found > MAX_FOLDERS:
            return


def left_out(strangers: Sequence[Path], why: str = "no part of the data set") -> list[str]:
    """Say in a line which entries were left out; no line where there are none."""
    return [f"left out, {why}: {printable(some(strangers))}"] if strangers else []


def obstacle(path: Path) -> tuple[str, str] | None:
    """Say why a path can't be read as a file, and the cure; None where it can.

    A named pipe or a device is never opened: reading it may never end.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            return "missing: the link leads nowhere", "download its content (datalad get)"
        return "missing", "download it again"
    except OSError as error:  # links in a circle, no permission, a name that is too long
        return f"not readable: {error.strerror}", "correct that, or download it again"
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        return f"not readable: {_KINDS.get(kind, 'something')}, not a file", "remove it"
    if not os.access(path, os.R_OK):
        return "not readable: Permission denied", "give yourself the right to read it"
    if status.st_size == 0:
        return "missing: an empty file", "download it again"
    if status.st_size <= _POINTER_BYTES and (pointer := _pointer(path)):
        return f"missing: {pointer}", "download its content (datalad get, git lfs pull)"
    return None


def _pointer(path: Path) -> str | None:
    with path.open("rb") as stream:
        start = stream.read(_POINTER_BYTES)
    return next((kind for mark, kind in _POINTERS.items() if start.startswith(mark)), None)


def require_file(path: Path, what: str) -> None:
    """Raise InputError, with the cure, unless a path can be read as a file."""
    if found := obstacle(path):
        raise InputError(f"{path}: {what} {found[0]}; {found[1]}")


def require_folder(source: Path) -> None:
    """Raise InputError, with the cure, unless a path is a folder."""
    if source.is_dir():
        return
    if is_archive(source) and source.is_file():
        raise InputError(f"{source}: an archive; unpack it, and give the folder that this makes")
    found = "a file" if source.exists() else "nothing"
    raise InputError(
        f"{source}: expected the folder of the data set, found {found} there; give another SRC"
    )


def is_archive(path: Path) -> bool:
    """Return whether a file's ending is that of an archive."""
    return path.name.lower().endswith(_ARCHIVES)


def archives_in(folder: Path) -> str:
    """Advise to unpack the archives that a folder holds; empty where it holds none."""
    found = [path for path in list_entries(folder).kept if is_archive(path)]
    return f"unpack {printable(some(found))}, and " if found else ""


def one_of_each(found: Iterable[tuple[Key, Path]], what: str) -> dict[Key, Path]:
    """Map keys to paths; raise InputError naming those that have the same key."""
    paths: dict[Key, list[Path]] = {}
    for key, path in found:
        paths.setdefault(key, []).append(path)
    lines = [
        f"{same[0]}: {what} {key} is also {', '.join(map(str, same[1:]))}; move all but one of "
        "them elsewhere"
        for key, same in paths.items()
        if len(same) > 1
    ]
    if lines:
        raise InputError(*lines)
    return {key: same[0] for key, same in paths.items()}


def numbered_folders(folder: Path, name: re.Pattern[str]) -> dict[int, Path]:
    """Find the folders in a folder whose name fits, by the number in it: one of each subject.

    Raises InputError when two are of one subject, or a link to one leads nowhere.
    """
    found = [
        (int(match[1]), path)
        for path in list_entries(folder).kept
        if (match := name.fullmatch(path.name)) and (path.is_dir() or path.is_symlink())
    ]
    lines = [
        f"{path}: the link leads to no folder; download its content (datalad get), or remove it"
        for _, path in found
        if not path.is_dir()
    ]
    if lines:
        raise InputError(*lines)
    return one_of_each(found, "the folder of subject")


def refuse_nested(*folders: Path) -> None:
    """Raise InputError where a folder holds a folder of its own name, as after unpacking twice."""
    for folder in folders:
        inner = folder / folder.name
        if inner.is_dir():
            raise InputError(
                f"{folder}: holds a folder {folder.name}, as an archive that was unpacked into a "
                "folder of its name; move its content up"
            )
