"""Locate a subject's files in the Natural Scenes Dataset as released.

::

    SRC/nsddata/experiments/nsd/nsd_expdesign.mat
    SRC/nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5
    SRC/nsddata_betas/ppdata/subj01/SPACE/BETAS/lh.betas_session01.mgh …
    SRC/nsddata/freesurfer, SRC/nsddata/ppdata: ROIs (families) and transforms

SPACE is fsaverage, nativesurface, func1pt8mm or func1mm, BETAS a version of the betas.
"""

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import (
    archives_in,
    folders_below,
    list_entries,
    numbered_folders,
    refuse_nested,
)
from orchestrator.ingest.fingerprints import digest_files
from orchestrator.ingest.layouts import require_layout
from orchestrator.ingest.nsd.families import Family, find_families
from orchestrator.ingest.nsd.settings import BETA_FOLDERS, NsdChoices
from trainables.wording import some

DATASET: Final = "nsd"
STIMULI_DATA_SET: Final = "imgBrick"
NSDGENERAL: Final = "nsdgeneral"
_SUBJECT: Final = re.compile(r"subj0*([1-8])")
_SESSION: Final = re.compile(
    r"(?:[lr]h\.)?betas_session0*([1-9][0-9]*)\.(?:mg[hz]|hdf5|nii(?:\.gz)?)"
)


@dataclass(frozen=True)
class NsdFiles:
    """Where the files of one subject are, any of which may be missing."""

    source: Path
    number: int
    """Of the subject, from 1."""
    sessions: tuple[int, ...]
    """Numbers of the sessions that are read, from 1, ascending."""
    choices: NsdChoices

    @property
    def subject(self) -> str:
        """Name the subject: ``subj01``."""
        return f"subj{self.number:02d}"

    @property
    def shard(self) -> str:
        """Name the directory that this subject is written to."""
        return f"{DATASET}-{self.subject}"

    @property
    def betas(self) -> Path:
        """The folder of the betas."""
        return _betas_folder(self.source, self.number, self.choices)

    def beta_stem(self, number: int) -> str:
        """Name a session's betas without hemisphere and ending: ``betas_session01``."""
        return f"betas_session{number:02d}"

    @property
    def design(self) -> Path:
        """The file that says which image each trial shows."""
        return self.source / "nsddata" / "experiments" / "nsd" / "nsd_expdesign.mat"

    @property
    def stimuli(self) -> Path:
        """The file of all images, of which row k is nsdId k."""
        return self.source / "nsddata_stimuli" / "stimuli" / "nsd" / "nsd_stimuli.hdf5"

    def families(self) -> tuple[Family, ...]:
        """Find the ROI families that are read; raise InputError where one is not there."""
        return find_families(self.source, self.subject, self.choices.space, self.choices.families)

    def nsdgeneral(self) -> Family | None:
        """Find nsdgeneral, where only its vertices are read; raise InputError if it is absent."""
        if self.choices.vertices != NSDGENERAL:
            return None
        (found,) = find_families(self.source, self.subject, self.choices.space, (NSDGENERAL,))
        return found

    def count_images(self) -> int:
        """Count the images to check, for the progress bar; 0 where the design can't be read."""
        from orchestrator.ingest.nsd.design import read_design

        with suppress(InputError):  # reported by the inspection
            design = read_design(self.design, self.number)
            return len(design.shown(self.sessions))
        return 0

    def digest(self) -> str:
        """Digest the source's files by name and content."""
        from orchestrator.ingest.nsd.spaces import open_space

        named = {"design": self.design, "stimuli": self.stimuli, **open_space(self).files()}
        with suppress(InputError):  # reported by the inspection
            for family in (*self.families(), self.nsdgeneral()):
                named |= family.files() if family else {}
        return digest_files(named)


def _betas_folder(source: Path, number: int, choices: NsdChoices) -> Path:
    subject = source / "nsddata_betas" / "ppdata" / f"subj{number:02d}"
    return subject / choices.space / BETA_FOLDERS[choices.betas]


def find_subjects(
    source: Path, wanted: Collection[int] | None, choices: NsdChoices
) -> list[NsdFiles]:
    """Find the subjects that have betas; wanted: their numbers, or None for all.

    Raises InputError when the folder has another layout, or lacks a wanted subject, its betas in
    the chosen space and version, or a session.
    """
    subjects = subject_folders(source)
    missing = sorted(set(wanted or ()) - set(subjects))
    lines = [
        f"{source}: subject {number} has no betas, only "
        f"{', '.join(f'subj{there:02d}' for there in sorted(subjects))}; download them, or leave "
        "it out of --subjects"
        for number in missing
    ]
    found = []
    for number in sorted(wanted or subjects):
        if number in subjects:
            try:
                found.append(_find(source, number, choices))
            except InputError as error:
                lines += error.lines
    if lines:
        raise InputError(*lines)
    return found


def subject_folders(source: Path) -> dict[int, Path]:
    """Find the folders of the subjects that have betas, by number; at least one.

    Raises InputError when the folder has another layout.
    """
    require_layout(source, "nsd")
    home = source / "nsddata_betas" / "ppdata"
    refuse_nested(source / "nsddata", source / "nsddata_betas", home)
    subjects = numbered_folders(home, _SUBJECT)
    if not subjects:
        inner = [path for path in folders_below(source) if (path / "nsddata_betas").is_dir()]
        usual = f"{archives_in(source)}give the folder that holds nsddata and nsddata_betas"
        cure = f"give {inner[0]}" if inner else usual
        raise InputError(
            f"{source}: expected SRC/nsddata_betas/ppdata/subj01/…, found no subject there; {cure}"
        )
    return subjects


def _find(source: Path, number: int, choices: NsdChoices) -> NsdFiles:
    folder = _betas_folder(source, number, choices)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {_other_betas(folder)}")
    entries = list_entries(folder)
    entries.require_finished()
    names = [_SESSION.fullmatch(path.name) for path in entries.kept]
    there = sorted({int(match[1]) for match in names if match})
    _check_sessions(folder, there, choices.sessions)
    return NsdFiles(source, number, tuple(choices.sessions or there), choices)


def _other_betas(folder: Path) -> str:
    """Say which betas the subject has instead."""
    subject = folder.parent.parent
    there = [
        f"{space.name} {version}"
        for space in list_entries(subject).kept
        for version, name in BETA_FOLDERS.items()
        if (space / name).is_dir()
    ]
    return (
        f"of {subject.name} there are {', '.join(there) or 'no betas'}: choose by --space and "
        "--betas, or download them"
    )


def _check_sessions(folder: Path, there: Sequence[int], wanted: Sequence[int] | None) -> None:
    """Raise InputError where a session is missing, also between those that are there."""
    if not there:
        raise InputError(
            f"{folder}: expected betas_session01 and so on, found no session; download them again"
        )
    expected = range(1, there[-1] + 1) if wanted is None else wanted
    gaps = [str(number) for number in expected if number not in there]
    if gaps:
        asked = "" if wanted else f", or name those to read by --sessions {ranges(there)}"
        raise InputError(
            f"{folder}: session {some(gaps)} missing, found {ranges(there)}; download the missing "
            f"ones{asked}"
        )


def ranges(numbers: Sequence[int]) -> str:
    """Write ascending numbers as --sessions takes them.

    >>> ranges([1, 2, 3, 5, 7, 8])
    '1-3,5,7-8'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
