"""Locate a subject's files in a NOD folder (OpenNeuro ds004496).

The layout is BIDS, with derivatives of ciftify::

    SRC/derivatives/ciftify/sub-01/results/ses-imagenet01_task-imagenet_run-1/
        ses-imagenet01_task-imagenet_run-1_beta.dscalar.nii, …_label.txt
    SRC/derivatives/ciftify/sub-01/results/ses-prf_task-prf/ses-prf_task-prf_params.dscalar.nii
    SRC/sub-01/ses-imagenet01/func/sub-01_ses-imagenet01_task-imagenet_run-01_events.tsv
    SRC/stimuli/imagenet/n01440764/n01440764_172.JPEG

The atlas is not part of the data set; see ``find_atlas``.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from os.path import lexists
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import (
    archives_in,
    folders_below,
    list_entries,
    numbered_folders,
    one_of_each,
    refuse_nested,
    require_file,
)
from orchestrator.ingest.fingerprints import digest_files
from orchestrator.ingest.layouts import require_layout
from orchestrator.ingest.nod.trials import Run, locate_image, read_image_names

DATASET: Final = "nod"
SESSIONS: Final = (1, 2, 3, 4)
"""Sessions that are read by default: those that every subject of the paper has."""
ATLAS_SUFFIXES: Final = (".dlabel.nii", ".mat")
ATLAS_FOLDERS: Final = ("", "atlas", "supportfiles", "derivatives/ciftify")
"""Folders of SRC that are searched for an atlas."""
_NUMBER: Final = "0*([1-9][0-9]*)"
_SUBJECT: Final = re.compile(rf"sub-?{_NUMBER}", re.IGNORECASE)
_RUN_FOLDER: Final = re.compile(rf"ses-imagenet{_NUMBER}_task-imagenet_run-{_NUMBER}")
_EVENTS: Final = re.compile(rf"(?:sub-[0-9]+)_{_RUN_FOLDER.pattern}_events\.tsv")


@dataclass(frozen=True)
class NodFiles:
    """The paths of one subject's files, any of which may not exist."""

    subject: str
    """``sub-01`` …"""
    results: Path
    """The folder of the runs' results."""
    runs: tuple[Run, ...]
    """Runs in the order of sessions and numbers."""
    prf: Path
    """Parameters of the population receptive fields; row 3 is R²."""
    stimuli: Path
    atlas: Path

    @property
    def shard(self) -> str:
        """Return the name of the directory that the subject is written to."""
        return f"{DATASET}-{self.subject}"

    def count_images(self) -> int:
        """Count the images that the runs list, for the progress bar."""
        return sum(1 for _ in self._images())

    def digest(self) -> str:
        """Digest the source's files by name and content."""
        named = {"prf": self.prf, "atlas": self.atlas}
        for run in self.runs:
            named |= {f"{run.name} betas": run.betas, f"{run.name} labels": run.labels}
            named[f"{run.name} events"] = run.events
        named |= {f"image {path.name}": path for path in self._images()}
        return digest_files(named)

    def _images(self) -> Iterator[Path]:
        for run in self.runs:
            try:
                names = read_image_names(run)
            except InputError:
                continue  # reported by the inspection
            yield from (locate_image(self.stimuli, name) for name in names)


def find_subjects(
    source: Path,
    wanted: Collection[int] | None,
    sessions: Sequence[int] | None,
    atlas: Path | None,
) -> list[NodFiles]:
    """Find the subjects of a folder.

    wanted: subject numbers, or None for all. sessions: numbers of ImageNet sessions, all of which
    are required; None for those of SESSIONS that exist. Raises InputError when the folder has
    another layout or lacks a subject or an atlas.
    """
    ciftify = source / "derivatives" / "ciftify"
    subjects = _subject_folders(source, ciftify)
    missing = sorted(set(wanted or ()) - set(subjects))
    if missing:
        found = ", ".join(map(_name, sorted(subjects)))
        raise InputError(
            *(
                f"{ciftify}: subject {number} is not there, only {found}; download it, or leave it "
                "out of --subjects"
                for number in missing
            )
        )
    chosen = find_atlas(source, atlas)
    stimuli = source / "stimuli"
    refuse_nested(ciftify, stimuli, stimuli / "imagenet")
    return [
        _files(source, number, subjects[number], sessions, chosen)
        for number in sorted(wanted or subjects)
    ]


def _subject_folders(source: Path, ciftify: Path) -> dict[int, Path]:
    """Find the folders sub-01 … by number; raise InputError when there is none."""
    require_layout(source, "nod")
    subjects = numbered_folders(ciftify, _SUBJECT)
    if not subjects:
        refuse_nested(source / "derivatives", ciftify)
        below = folders_below(source)
        inner = [path for path in below if (path / "derivatives" / "ciftify").is_dir()]
        usual = f"{archives_in(source)}give the folder that holds derivatives and stimuli"
        cure = f"give {inner[0]}" if inner else usual
        raise InputError(
            f"{source}: expected SRC/derivatives/ciftify/sub-01/results/…, found no subject "
            f"there; {cure}"
        )
    return subjects


def _name(number: int) -> str:
    return f"sub-{number:02d}"


def _files(
    source: Path, number: int, derived: Path, sessions: Sequence[int] | None, atlas: Path
) -> NodFiles:
    results = derived / "results"
    raw = numbered_folders(source, _SUBJECT).get(number, source / derived.name)
    refuse_nested(derived, results, raw)
    prf = results / "ses-prf_task-prf" / "ses-prf_task-prf_params.dscalar.nii"
    others = results.glob("ses-prf_task-prf*/ses-prf_task-prf*_params.dscalar.nii")
    found = one_of_each((("R²", path) for path in sorted(others)), "the pRF file of")
    return NodFiles(
        subject=_name(number),
        results=results,
        runs=_find_runs(raw, results, sessions),
        prf=prf if lexists(prf) else found.get("R²", prf),
        stimuli=source / "stimuli",
        atlas=atlas,
    )


def _find_runs(raw: Path, results: Path, sessions: Sequence[int] | None) -> tuple[Run, ...]:
    """Find the runs that have results or events, and add missing ones between them."""
    folders = _matches(results, "*", _RUN_FOLDER)
    events = _matches(raw, "ses-*/func/*_events.tsv", _EVENTS)
    _check_owner(raw, events.values())
    known = {key for key in (*folders, *events) if key[0] in (sessions or SESSIONS)}
    last = {session: max(n for s, n in known if s == session) for session, _ in known}
    expected = sessions or range(1, max(last, default=0) + 1)
    keys = [(s, n) for s in sorted(expected) for n in range(1, last.get(s, 1) + 1)] if last else []
    return tuple(_run(raw, results, key, folders.get(key), events.get(key)) for key in keys)


def _check_owner(raw: Path, events: Iterable[Path]) -> None:
    """Raise InputError naming events in a subject's folder that are of another subject."""
    own = _SUBJECT.fullmatch(raw.name)
    lines = [
        f"{path}: events of another subject in the folder {raw.name}; move them to their own"
        for path in events
        if own and int(path.name.partition("_")[0].removeprefix("sub-")) != int(own[1])
    ]
    if lines:
        raise InputError(*lines)


def _run(
    raw: Path, results: Path, key: tuple[int, int], folder: Path | None, events: Path | None
) -> Run:
    session, number = key
    place = folder or results / f"ses-imagenet{session:02d}_task-imagenet_run-{number}"
    func = raw / f"ses-imagenet{session:02d}" / "func"
    name = f"{raw.name}_ses-imagenet{session:02d}_task-imagenet_run-{number:02d}_events.tsv"
    return Run(
        name=f"session {session} run {number}",
        betas=place / f"{place.name}_beta.dscalar.nii",
        labels=place / f"{place.name}_label.txt",
        events=events or func / name,
    )


def _matches(folder: Path, glob: str, name: re.Pattern[str]) -> dict[tuple[int, int], Path]:
    """Find paths by (session, run); raise InputError when two are of one run."""
    found = [(match, p) for p in sorted(folder.glob(glob)) if (match := name.fullmatch(p.name))]
    keyed = (((int(match[1]), int(match[2])), path) for match, path in found)
    return one_of_each(keyed, "session and run")


def find_atlas(source: Path, given: Path | None) -> Path:
    """Find the HCP-MMP atlas: the given file, or the only one in SRC.

    By default, ATLAS_FOLDERS of SRC are searched for ``*MMP*`` and ``*glasser*`` files with an
    atlas's extension, in upper or lower case. Raises InputError when the file is missing or of
    another type, or when none or several are found.
    """
    if given is not None:
        if not given.name.endswith(ATLAS_SUFFIXES):
            raise InputError(
                f"{given}: expected the atlas as .dlabel.nii or .mat, found another type of file; "
                "give the HCP-MMP labels on the 32k fsLR mesh"
            )
        if not lexists(given):
            raise InputError(f"{given}: no such atlas; give the file of the HCP-MMP labels")
        require_file(given, "atlas")
        return given
    found = sorted(
        path
        for folder in ATLAS_FOLDERS
        for path in list_entries(source / folder).kept
        if path.name.endswith(ATLAS_SUFFIXES) and re.search("mmp|glasser", path.name.lower())
    )
    if len(found) == 1:
        require_file(found[0], "atlas")
        return found[0]
    places = ", ".join(str(Path("SRC") / folder) for folder in ATLAS_FOLDERS)
    named = f"{len(found)}: {', '.join(map(str, found))}" if found else "none"
    raise InputError(
        f"{source}: expected one HCP-MMP atlas (*MMP*.dlabel.nii or .mat) in {places}, found "
        f"{named}; give it by --atlas FILE"
    )
