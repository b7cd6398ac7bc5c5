"""Which scores of a sweep are complete: intact files of the trials and ROIs of their paths.

A file that was read once in this process is read again only if it has changed.
"""

from pathlib import Path
from typing import Final

from trainables.exceptions import Denied
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import SCORE_SCHEMA, is_stranger, read_score_columns
from trainables.storage.threads import map_reads
from trainables.storage.unchanged import CheckedFiles, FileState

_COMPLETE: Final = CheckedFiles()
"""Files that were read as a whole."""
_RECORDED: Final = CheckedFiles()
"""Files that are no strangers, of which perhaps only the metadata were read."""


def is_scored(
    runs: RunDirectory, trial_id: str, roi_id: str, damaged: list[str] | None = None
) -> bool:
    """Return whether an ROI has readable scores; damaged files and other trials' count as none.

    damaged: gets a line on a file that counts as none. Raises Denied if this user may not read the
    file: the scores exist, and are not computed again.
    """
    path = runs.score_file(trial_id, roi_id)
    if path in _COMPLETE:
        return True
    try:
        if not path.exists():
            return False
        problem = _problem_of(path)
    except PermissionError as error:  # of its directory
        raise Denied.of(path.parent, error) from error
    if problem and damaged is not None:
        damaged.append(f"{path}: {problem}; it is scored again")
    return not problem


def _problem_of(path: Path) -> str:
    """Read all of a score file; return what is wrong with it, or ""."""
    state = FileState.of(path)
    try:
        if read_score_columns(path, SCORE_SCHEMA.names) is None:
            return "holds the scores of another trial or ROI"
    except Denied:
        raise
    except ValueError:
        return "damaged"
    _COMPLETE.add(path, state)
    return ""


def find_score_files(runs: RunDirectory) -> tuple[list[Path], list[Path]]:
    """Find the score files of all trials, and the strangers between them.

    A file that can't be read is one of the score files: reading its scores names it.
    """
    found: list[Path] = []
    strangers: list[Path] = []
    paths = runs.score_files()
    for path, is_recorded in zip(paths, map_reads(_is_recorded, paths), strict=True):
        (found if is_recorded else strangers).append(path)
    return found, strangers


def _is_recorded(path: Path) -> bool:
    if path in _COMPLETE or path in _RECORDED:
        return True
    state = FileState.of(path)
    if is_stranger(path):
        return False
    _RECORDED.add(path, state)
    return True
