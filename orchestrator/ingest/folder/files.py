"""Where a folder of one's own keeps each subject's files, and what is decided about them.

SRC/dataset.json, SRC/stimuli.csv and SRC/images/ are of all subjects. SRC/sub-01/ holds
responses.npy (or .h5, .zarr, .nc, or lh.npy and rh.npy), and perhaps presentations.csv,
neuroids.csv, rois.csv or rois/, and mesh/lh.surf.gii and mesh/rh.surf.gii.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Findings
from orchestrator.ingest.entries import (
    archives_in,
    folders_below,
    list_entries,
    list_tree,
    numbered_folders,
)
from orchestrator.ingest.fingerprints import digest_files
from orchestrator.ingest.folder.description import Description, read_description
from orchestrator.ingest.folder.matrices import FORMS, HALVES
from orchestrator.ingest.folder.neuroids import NEUROIDS
from orchestrator.ingest.folder.regions import MASKS, TABLE
from orchestrator.ingest.folder.stimuli import PRESENTATIONS, Stimuli, read_stimuli
from orchestrator.ingest.folder.surfaces import MESH
from orchestrator.ingest.layouts import DESCRIPTION, require_layout
from orchestrator.ingest.settings import Repeats, Settings, SplitName
from trainables.wording import some

ZScore = Literal["session", "all", "none"]
Ceiling = Literal["given", "ncsnr", "split-half", "none"]
GIVEN: Final = "given"
SplitChoice = Literal["given", SplitName]
SPLIT_CHOICES: Final[tuple[str, ...]] = (GIVEN, *get_args(SplitName))
_SUBJECT: Final = re.compile(
    r"(?:sub-[a-z]*|sub(?:j|ject)?[-_]?)0*([1-9][0-9]*)", re.IGNORECASE | re.ASCII
)
"""``sub-01``, ``sub-CSI1``, ``subj01``, ``subject1``."""
_OF_SUBJECT: Final = (*FORMS, *HALVES, PRESENTATIONS, NEUROIDS, TABLE, MASKS, MESH)


@dataclass(frozen=True)
class FolderFiles:
    """One subject's folder, and what all subjects share."""

    source: Path
    folder: Path
    description: Description
    stimuli: Stimuli

    @property
    def subject(self) -> str:
        """``sub-01``, as the folder is named."""
        return self.folder.name

    @property
    def shard(self) -> str:
        """Name the directory that this subject is written to."""
        return f"{self.description.name}-{self.subject}"

    def count_images(self) -> int:
        """Count the images to check, at most, for the progress bar."""
        return len(self.stimuli.ids)

    def digest(self) -> str:
        """Digest the source's files by name and content."""
        named = {DESCRIPTION: self.source / DESCRIPTION, "stimuli": self.stimuli.path}
        for name in _OF_SUBJECT:
            path = self.folder / name
            if path.is_dir():
                inner = list_tree(path).kept
                named |= {f"{name} {one.relative_to(path)}": one for one in inner}
            elif path.exists():
                named[name] = path
        images = zip(self.stimuli.ids, self.stimuli.images, strict=True)
        named |= {f"image {stimulus}": path for stimulus, path in images}
        return digest_files(named)


def find_subjects(source: Path, wanted: Collection[int] | None) -> list[FolderFiles]:
    """Find the subjects of a folder; wanted: the numbers in their names, or None for all.

    Raises InputError with what is wrong in the files that all subjects share, when there is no
    subject, or lacks a wanted one.
    """
    require_layout(source, "folder")
    if not (source / DESCRIPTION).exists():
        raise InputError(_no_description(source))
    findings = Findings()
    description = findings.attempt(read_description, source)
    stimuli = findings.attempt(read_stimuli, source)
    folders = findings.attempt(numbered_folders, source, _SUBJECT) or {}
    findings.raise_if_any()
    assert description is not None
    assert stimuli is not None
    if not folders:
        raise InputError(
            f"{source}: expected a folder per subject, sub-01 and so on, found "
            f"{_other_folders(source)}; name them so"
        )
    there = ", ".join(path.name for _, path in sorted(folders.items()))
    missing = sorted(set(wanted or ()) - set(folders))
    if missing:
        raise InputError(
            f"{source}: subject {', '.join(map(str, missing))} is not there, only {there}; leave "
            "it out of --subjects"
        )
    return [
        FolderFiles(source, folders[number], description, stimuli)
        for number in sorted(wanted or folders)
    ]


def _other_folders(source: Path) -> str:
    """Name the folders with responses whose names are no subject's, or none."""
    found = [
        path.name
        for path in list_entries(source).kept
        if any((path / form).exists() for form in (*FORMS, *HALVES))
    ]
    return f"{some(found)} with responses" if found else "none"


def _no_description(source: Path) -> str:
    problem = f"{source}: expected {DESCRIPTION}, which describes the data, found none"
    for inner in folders_below(source):
        if (inner / DESCRIPTION).is_file():
            return f"{problem}; give {inner}"
    if not list_entries(source).kept:
        return f"{problem}; write a template there by `ingest folder --init {source}`"
    return f"{problem}; {archives_in(source)}write a template by `ingest folder --init DIR`"


@dataclass(frozen=True)
class FolderChoices:
    """What is decided about every subject."""

    zscore: ZScore
    """Over which presentations each column is z-scored here."""
    ceiling: Ceiling | None = None
    """Where noise ceilings come from; None: given ones, else ncsnr from repeats, else none."""
    repeats: Repeats = "mean"
    """What becomes of an image's presentations."""

    @classmethod
    def of(
        cls,
        description: Description,
        zscore: ZScore | None,
        ceiling: Ceiling | None,
        repeats: Repeats = "mean",
    ) -> "FolderChoices":
        """Decide; None as zscore: by session where the data are neither z-scored nor averaged.

        Raises InputError for z-scoring what is averaged over sessions, or repeats that are gone.
        """
        if description.averaged and zscore == "session":
            raise InputError(
                f"--zscore session: {DESCRIPTION} calls the data averaged, so that they have no "
                "sessions; use --zscore all or none"
            )
        if description.averaged and ceiling in ("ncsnr", "split-half"):
            raise InputError(
                f"--ceiling {ceiling}: {DESCRIPTION} calls the data averaged, so that they have no "
                "repeats; use --ceiling given or none"
            )
        if description.averaged and repeats != "mean":
            raise InputError(
                f"--repeats {repeats}: {DESCRIPTION} calls the data averaged, so that they have no "
                "repeats; use --repeats mean"
            )
        is_raw = description.zscored == "none" and not description.averaged
        return cls(zscore or ("session" if is_raw else "none"), ceiling, repeats)


def settings_of(files: FolderFiles, choices: FolderChoices, split: SplitChoice | None) -> Settings:
    """Return what the manifests record; split None: that of stimuli.csv, else by stimulus.

    Raises InputError for a given split that is not there.
    """
    is_given = files.stimuli.sides is not None
    if split == GIVEN and not is_given:
        raise InputError(
            f"--split given: {files.stimuli.path} has no column split; add it, or use --split "
            "stimulus"
        )
    recorded = files.description.choices() | {"zscore": choices.zscore}
    if choices.ceiling is not None:
        recorded["ceiling"] = choices.ceiling
    if choices.repeats != "mean":
        recorded["repeats"] = choices.repeats
    return Settings(split or (GIVEN if is_given else "stimulus"), choices=recorded)
