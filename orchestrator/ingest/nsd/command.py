"""The command that ingests the Natural Scenes Dataset as released."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from orchestrator.cli.arguments import NameList
from orchestrator.cli.selection import Subjects
from orchestrator.ingest.nsd.settings import (
    BetaVersion,
    CeilingChoice,
    NsdChoices,
    NsdSplit,
    SpaceName,
    VertexChoice,
)
from orchestrator.ingest.options import Cpus, ImageOptions, Shards
from orchestrator.ingest.settings import Repeats, Settings
from orchestrator.ingest.simulated import is_simulated


@Parameter(name="*")
@dataclass(frozen=True)
class NsdOptions(ImageOptions):
    """What is asked about every subject."""

    subjects: Annotated[Subjects | None, Parameter(show_default="every subject in SOURCE")] = None
    """Numbers and ranges such as 1,5-8, or names such as subj01."""
    space: SpaceName = "fsaverage"
    """Space of the betas."""
    betas: BetaVersion = "b3"
    """b1: assumed HRF; b2: fitted HRF; b3: fitted HRF, GLMdenoise and ridge regression."""
    sessions: Annotated[
        Subjects | None,
        Parameter(help="Sessions to read, such as 1-37.", show_default="all that are there"),
    ] = None
    split: NsdSplit = "shared1000"
    """shared1000: the images that all subjects share are the test images; special515: those of them
    that every subject saw three times; algonauts: training and test images of the challenge;
    stimulus: the hash of the image's id decides, as in `algonauts`."""
    repeats: Repeats = "mean"
    """mean: the mean of an image's trials; first: its first trial alone; rows: the single trials of
    training images too, which fine-tuning uses in turn and readouts count one by one."""
    vertices: VertexChoice = "nsdgeneral"
    """Vertices or voxels to read: those of nsdgeneral, those of any ROI, or the whole cortex."""
    families: Annotated[
        NameList | None,
        Parameter(show_default="those of the Algonauts packaging that are there"),
    ] = None
    """Families of ROIs by the names of their files, such as prf-visualrois,Kastner2015,HCP_MMP1; or
    all."""
    ceiling: Annotated[
        CeilingChoice | None,
        Parameter(
            help="Noise ceilings: from the released ncsnr, or estimated from repeated images.",
            show_default="released, else estimated, else none",
        ),
    ] = None
    cpus: Cpus = None


def nsd(
    source: Annotated[
        Path, Parameter(help="Folder with nsddata, nsddata_betas and nsddata_stimuli.")
    ],
    /,
    *,
    out: Shards,
    options: NsdOptions = NsdOptions(),
) -> None:
    """Read the Natural Scenes Dataset as released into one directory of shards per subject.

    Betas are z-scored within each session, then averaged over the trials of an image, in one pass
    and little memory. Noise ceilings come from the released ncsnr, or from repeated images where it
    is missing. Everything else is checked first, as by `algonauts`. Shards are written to
    DATA/nsd-subj01, DATA/nsd-subj02 …
    """
    from orchestrator.ingest.nsd.files import find_subjects
    from orchestrator.ingest.nsd.run import ingest_nsd

    choices = NsdChoices(
        options.space,
        options.betas,
        options.repeats,
        options.vertices,
        options.families,
        options.sessions,
        options.ceiling,
    )
    files = find_subjects(source, options.subjects, choices)
    settings = Settings(options.split, is_simulated=is_simulated(source))
    ingest_nsd(files, out, options.added_to(settings), choices, options.cpus)
