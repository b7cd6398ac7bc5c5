"""Find the subjects in files of MOSAIC, and what belongs to them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import list_entries, require_file, require_folder
from orchestrator.ingest.fingerprints import digest_files
from orchestrator.ingest.image_places import ImagePlace, StackedImage
from orchestrator.ingest.mosaic.choices import MosaicChoices
from orchestrator.ingest.mosaic.names import SubjectKey
from orchestrator.ingest.mosaic.recordings import Recording, list_groups, read_recording
from orchestrator.ingest.mosaic.rows import Rows, plan_rows
from orchestrator.ingest.mosaic.split_lists import TRAINING_LIST, SplitLists, read_split_lists
from orchestrator.ingest.mosaic.stimulus_files import StimulusPlaces
from orchestrator.ingest.mosaic.stimulus_info import Stimulus, read_stimulus_info
from trainables.wording import some

SUFFIXES: Final = (".hdf5", ".h5")
ATLAS_SUFFIXES: Final = (".dlabel.nii", ".mat", ".npz")


@dataclass(frozen=True)
class Companions:
    """Files that belong to all subjects of a command."""

    stimuli: StimulusPlaces
    tables: Path
    """Folder of ``nsd_stiminfo.tsv`` …."""
    atlas: Path
    lists: SplitLists | None
    """Of split ``lists``; None for another split."""
    _read: dict[Path, Mapping[str, Stimulus]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def table(self, key: SubjectKey) -> Mapping[str, Stimulus]:
        """Read the stimuli of a data set, once; raise InputError with everything that is wrong."""
        path = self.tables / key.table
        if path not in self._read:
            self._read[path] = read_stimulus_info(path, key.dataset)
        return self._read[path]


@dataclass(frozen=True)
class MosaicFiles:
    """One subject's file, or its group in a file of several, with what belongs to it."""

    path: Path
    group: str
    """The subject's group in the file; ``""`` where the whole file is its own."""
    key: SubjectKey
    companions: Companions
    choices: MosaicChoices

    @property
    def subject(self) -> str:
        """Return the subject's name: ``sub-01``."""
        return self.key.subject

    @property
    def shard(self) -> str:
        """Return the name of the directory that the subject is written to."""
        return f"{self.key.ingested}-{self.key.subject}"

    @cached_property
    def recording(self) -> Recording:
        """Read which trials there are; raise InputError with everything that is wrong."""
        return read_recording(self.path, self.group, self.key)

    @cached_property
    def rows(self) -> Rows:
        """Plan the subject's rows; raise InputError with everything that is wrong."""
        shown = {trial.stimulus for trial in self.recording.trials}
        table = self.companions.table(self.key)
        if unknown := sorted(shown - set(table)):
            raise InputError(
                f"{self.companions.tables / self.key.table}: {len(unknown):,} stimuli of "
                f"{self.key.name} are not in the table, such as {some(unknown[:3])}; download both "
                "again"
            )
        lists = self.companions.lists
        return plan_rows(self.path, self.key, self.recording, table, self.choices, lists)

    def locate(self) -> tuple[ImagePlace, ...]:
        """Find the image of each row; raise InputError naming those that are missing."""
        rows = self.rows.rows
        wanted = {row.file: row.stimulus for row in rows}
        found = self.companions.stimuli.locate(self.key, wanted)
        return tuple(found[row.file] for row in rows)

    def count_images(self) -> int:
        """Count the images to check, for the progress bar."""
        try:
            return len(self.rows.rows)
        except InputError:
            return 0  # reported by the inspection

    def digest(self) -> str:
        """Digest the source's files by name and content."""
        companions = self.companions
        named = {"responses": self.path, "atlas": companions.atlas}
        named["stimuli"] = companions.tables / self.key.table
        if companions.lists is not None:
            named |= {path.name: path for path in companions.lists.files}
        try:
            images = self.locate()
        except InputError:
            images = ()  # reported by the inspection
        for image in images:
            path = image.file if isinstance(image, StackedImage) else image
            named[f"image {path.name}"] = path
        return digest_files(named, f"subject {self.key.name}")


def find_subjects(
    sources: Sequence[Path],
    wanted: Collection[int] | None,
    companions: Companions,
    choices: MosaicChoices,
) -> list[MosaicFiles]:
    """Find the subjects in files, or in the files of folders.

    wanted: numbers of subjects, of every data set; None for all. Raises InputError when a file is
    of another layout, a subject is there twice, or none is left.
    """
    found: dict[str, list[MosaicFiles]] = {}
    for path in list_sources(sources):
        for group, key in list_groups(path).items():
            if wanted is None or key.number in wanted:
                files = MosaicFiles(path, group, key, companions, choices)
                found.setdefault(key.name, []).append(files)
    lines = [
        f"{same[0].path}: {name} is also in {some([other.path for other in same[1:]])}; give one "
        "of them"
        for name, same in found.items()
        if len(same) > 1
    ]
    missing = sorted(set(wanted or ()) - {same[0].key.number for same in found.values()})
    if missing or not found:
        lines.append(
            f"{some(list(sources))}: no subject {some(missing)} in any file; download it, or leave "
            "it out of --subjects"
        )
    if lines:
        raise InputError(*lines)
    return sorted((same[0] for same in found.values()), key=lambda files: files.shard)


def list_sources(sources: Sequence[Path]) -> list[Path]:
    """List the HDF5 files among paths and in folders; raise InputError where there is none."""
    paths = []
    for source in sources:
        if source.suffix in SUFFIXES and not source.is_dir():
            require_file(source, "MOSAIC's responses")
            paths.append(source)
            continue
        require_folder(source)
        entries = list_entries(source)
        entries.require_finished()
        inside = [path for path in entries.kept if path.suffix in SUFFIXES]
        if not inside:
            raise InputError(
                f"{source}: expected files such as sub-01_NSD.hdf5, found none; give the files, or "
                "the folder that holds them"
            )
        paths += inside
    return list(dict.fromkeys(paths))


def find_atlas(home: Path, given: Path | None) -> Path:
    """Find the HCP-MMP atlas: the given file, or the only one in home or home/atlas.

    Raises InputError when it is missing or of another type, or when none or several are found.
    """
    if given is not None:
        if not given.name.endswith(ATLAS_SUFFIXES):
            raise InputError(
                f"{given}: expected the atlas as .dlabel.nii, .mat or .npz, found another type of "
                "file; give the HCP-MMP labels of the 91,282 grayordinates"
            )
        require_file(given, "atlas")
        return given
    found = [
        path
        for folder in (home, home / "atlas")
        for path in list_entries(folder).kept
        if path.name.endswith(ATLAS_SUFFIXES)
        and ("mmp" in path.name.lower() or "glasser" in path.name.lower())
    ]
    if len(found) == 1:
        return find_atlas(home, found[0])
    raise InputError(
        f"{home}: expected one HCP-MMP atlas there or in {home / 'atlas'} (*MMP* as .dlabel.nii, "
        f".mat or .npz), found {some(found) or 'none'}; give it by --atlas FILE"
    )


def find_folder(
    home: Path, given: Path | None, names: Sequence[str], inside: str, flag: str
) -> Path:
    """Find the folder that holds a file: the given one, or home or one of its folders.

    names: of folders in home. inside: a name or pattern of the file. Raises InputError where none
    does.
    """
    places = [given] if given is not None else [home, *(home / name for name in names)]
    for place in places:
        if place.is_dir() and any(place.glob(inside)):
            return place
    searched = ", ".join(map(str, places))
    raise InputError(f"{searched}: expected {inside}, found none; download it, or give {flag} DIR")


def find_lists(home: Path, given: Path | None, choices: MosaicChoices) -> SplitLists | None:
    """Find and read the lists of the split; None for a split that reads none.

    Raises InputError where they are not there, or where lists are given to another split.
    """
    if choices.split == "lists":
        places = ("testtrain", "splits")
        folder = find_folder(home, given, places, TRAINING_LIST, "--split-lists")
        return read_split_lists(folder, choices.test)
    if given is not None:
        raise InputError(
            f"--split-lists {given}: only read by --split lists; give that, or leave it"
        )
    return None
