"""Strangers: files in a sweep's directory that no record of the sweep lists.

Copies that people make (``cp -r``, "… copy", "x (1).parquet"), that synchronisation and backup
programs leave, and files of operating systems (``.DS_Store``, ``Thumbs.db``). No command reads
them; each command that reads results names them once, in one line.
"""

from collections.abc import Iterable
from pathlib import Path

from trainables.results.complete_scores import find_score_files
from trainables.results.outcome import is_stranger
from trainables.results.run_directory import RunDirectory
from trainables.wording import some


def find_strangers(runs: RunDirectory) -> list[Path]:
    """List the strangers: by their names, and by what score files and outcomes record.

    Damaged files are not strangers; the commands that read them name them.
    """
    found = list(runs.strangers())
    ids = runs.trial_ids()
    found += [runs.outcome_file(trial_id) for trial_id in ids if is_stranger(runs, trial_id)]
    return [*found, *find_score_files(runs)[1]]


def describe_strangers(strangers: Iterable[Path]) -> str | None:
    """Name strangers in one line: their number and three examples; None where there are none."""
    paths = sorted(set(strangers))
    if not paths:
        return None
    return f"left out: files and directories that no record lists: {some(paths)}"
