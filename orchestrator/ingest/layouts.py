"""Recognise the layout of a source, so that a folder given to the wrong command is refused."""

from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import list_entries, require_folder

DESCRIPTION: Final = "dataset.json"
"""The file that describes a folder of one's own."""
_SPLIT_FIRST: Final = ("training_images", "training_fmri", "roi_masks")


def layout_of(source: Path) -> str | None:
    """Name the command that reads a folder of subjects; None for any other folder."""
    if (source / "derivatives" / "ciftify").is_dir():
        return "nod"
    if (source / "nsddata").is_dir() or (source / "nsddata_betas").is_dir():
        return "nsd"
    if (source / DESCRIPTION).is_file() and any(source.glob("sub-*")):
        return "folder"
    if any(source.glob("sub-*_*.hdf5")):
        return "mosaic"
    folders = [source, *(path for path in list_entries(source).kept if path.is_dir())]
    has_subjects = any((folder / "training_split").is_dir() for folder in folders)
    if has_subjects or all((source / name).is_dir() for name in _SPLIT_FIRST):
        return "algonauts"
    return None


def require_layout(source: Path, command: str) -> None:
    """Raise InputError for a path that is no folder, or one that another command reads.

    Subjects' folders hold folders of images, as classes do: they would be read as a task.
    """
    require_folder(source)
    found = layout_of(source)
    if found not in (None, command):
        raise InputError(
            f"{source}: expected the layout of `ingest {command}`, found that of `ingest {found}`; "
            "use that command, or give another SRC"
        )
