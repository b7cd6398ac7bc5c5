"""Locate a subject's files of NSD-synthetic, which lie beside those of NSD as released.

::

    SRC/nsddata/experiments/nsdsynthetic/nsdsynthetic_expdesign.mat
    SRC/nsddata/experiments/nsdsynthetic/nsdsyntheticimageinformation.csv
    SRC/nsddata_stimuli/stimuli/nsdsynthetic/nsdsynthetic_stimuli.hdf5
    SRC/nsddata_stimuli/stimuli/nsdsynthetic/nsdsynthetic_colorstimuli_subj01.hdf5
    SRC/nsddata_betas/ppdata/subj01/SPACE/BETAS/lh.betas_nsdsynthetic.mgh …

The subject's NSD must have been ingested: its vertices, in their order, are read here too.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast, get_args

from orchestrator.cli.errors import InputError
from orchestrator.ingest.fingerprints import digest_files
from orchestrator.ingest.image_places import count_stacked
from orchestrator.ingest.nsd.files import DATASET as NSD
from orchestrator.ingest.nsd.files import STIMULI_DATA_SET, NsdFiles, subject_folders
from orchestrator.ingest.nsd.settings import BetaVersion, NsdChoices, SpaceName
from orchestrator.ingest.nsd.spaces import open_space
from trainables.data.data_directory import DataDirectory, is_there, vertices_file
from trainables.data.shards import Manifest
from trainables.spec.rois import NSD_SYNTHETIC

FOLDERS: Final[Mapping[str, str]] = {
    "b2": "nsdsyntheticbetas_fithrf",
    "b3": "nsdsyntheticbetas_fithrf_GLMdenoise_RR",
}
"""The folder of each version of the betas, by the names of `ingest nsd`."""


@dataclass(frozen=True)
class SyntheticFiles(NsdFiles):
    """Where the files of one subject are, any of which may be missing. There is one session."""

    nsd_shard: Path = field(kw_only=True)
    """The ingested NSD of the subject."""

    @property
    def shard(self) -> str:
        """Name the directory that this subject is written to."""
        return f"{NSD_SYNTHETIC}-{self.subject}"

    @property
    def betas(self) -> Path:
        """The folder of the betas."""
        subject = self.source / "nsddata_betas" / "ppdata" / self.subject
        return subject / self.choices.space / FOLDERS[self.choices.betas]

    def beta_stem(self, number: int) -> str:
        """Name the only session's betas without hemisphere and ending."""
        return "betas_nsdsynthetic"

    @property
    def _experiment(self) -> Path:
        return self.source / "nsddata" / "experiments" / NSD_SYNTHETIC

    @property
    def design(self) -> Path:
        """The file that says which image each trial shows."""
        return self._experiment / "nsdsynthetic_expdesign.mat"

    @property
    def classes(self) -> Path:
        """The table of the classes of images."""
        return self._experiment / "nsdsyntheticimageinformation.csv"

    @property
    def stimuli(self) -> Path:
        """The file of the images that all subjects saw."""
        return self._stimuli_folder / "nsdsynthetic_stimuli.hdf5"

    @property
    def colour_stimuli(self) -> Path:
        """The file of the subject's own images, whose numbers follow."""
        return self._stimuli_folder / f"nsdsynthetic_colorstimuli_{self.subject}.hdf5"

    @property
    def _stimuli_folder(self) -> Path:
        return self.source / "nsddata_stimuli" / "stimuli" / NSD_SYNTHETIC

    def count_images(self) -> int:
        """Count the images to check, for the progress bar; 0 where a file can't be read."""
        with suppress(InputError):  # reported by the inspection
            stacks = (self.stimuli, self.colour_stimuli)
            return sum(count_stacked(path, STIMULI_DATA_SET) for path in stacks)
        return 0

    def digest(self) -> str:
        """Digest the source's files by name and content, and the vertices of NSD."""
        named = {
            "design": self.design,
            "classes": self.classes,
            "stimuli": self.stimuli,
            "colour stimuli": self.colour_stimuli,
            "vertices": vertices_file(self.nsd_shard),
        }
        return digest_files(named | open_space(self).files())


def find_subjects(
    source: Path, wanted: Collection[int] | None, data: DataDirectory
) -> list[SyntheticFiles]:
    """Find the subjects that have betas, and NSD in data; wanted: their numbers, or None for all.

    Raises InputError when the folder has another layout, or a wanted subject lacks one of these.
    """
    there = subject_folders(source)
    lines = [
        f"{source}: subject {number} has no betas, only "
        f"{', '.join(f'subj{one:02d}' for one in sorted(there))}; download them, or leave it out "
        "of --subjects"
        for number in sorted(set(wanted or ()) - set(there))
    ]
    found = []
    for number in sorted(wanted or there):
        try:
            if number in there:
                found.append(_find(source, number, data))
        except InputError as error:
            lines += error.lines
    if lines:
        raise InputError(*lines)
    return found


def _find(source: Path, number: int, data: DataDirectory) -> SyntheticFiles:
    """Find a subject's files in the space and of the version of its ingested NSD."""
    shard = data.fetched_shard(f"{NSD}-subj{number:02d}")
    if not is_there(shard):
        raise InputError(
            f"{shard}: no such subject, whose vertices NSD-synthetic is read at; ingest its NSD "
            "first, or leave it out of --subjects"
        )
    try:
        chosen = Manifest.read(shard).choices
    except ValueError as error:
        raise InputError(f"{error}") from error
    version, space = chosen.get("betas", "b3"), chosen.get("space", "fsaverage")
    if version not in FOLDERS or space not in get_args(SpaceName):
        raise InputError(
            f"{shard}: of {space} {version}, of which there is no NSD-synthetic, only "
            f"{', '.join(FOLDERS)}; ingest NSD with --betas b3"
        )
    choices = NsdChoices(space=cast(SpaceName, space), betas=cast(BetaVersion, version))
    files = SyntheticFiles(source, number, (1,), choices, nsd_shard=shard)
    if not files.betas.is_dir():
        raise InputError(
            f"{files.betas}: no such folder, of the space and version of {shard}; download it, or "
            f"leave subject {number} out of --subjects"
        )
    return files
