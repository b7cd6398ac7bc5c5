"""The command that ingests a NOD folder."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from orchestrator.cli.arguments import File, PositiveInteger
from orchestrator.cli.selection import Subjects
from orchestrator.ingest.options import Shards, SubjectOptions
from orchestrator.ingest.settings import TOP, NodChoices, Settings, ZScore
from orchestrator.ingest.simulated import is_simulated

Sessions = Annotated[
    Subjects,
    Parameter(
        help="ImageNet sessions to read, such as 1-4.",
        show_default="those of 1-4 that are there",
    ),
]


def nod(
    source: Annotated[Path, Parameter(help="Folder with derivatives, stimuli and sub-01 …")],
    /,
    *,
    out: Shards,
    options: SubjectOptions = SubjectOptions(),
    atlas: Annotated[
        File | None,
        Parameter(
            help="HCP-MMP labels, as .dlabel.nii or .mat.",
            show_default="the only *MMP* or *glasser* file of that kind in SOURCE, "
            "SOURCE/atlas, SOURCE/supportfiles or SOURCE/derivatives/ciftify",
        ),
    ] = None,
    top: Annotated[
        PositiveInteger,
        Parameter(
            help="Vertices to keep of each ROI and hemisphere, by R² of the pRF; all where there "
            "are fewer."
        ),
    ] = TOP,
    zscore: Annotated[
        ZScore,
        Parameter(
            help="run: each vertex within each run; run-matrix: all vertices of a run by one mean "
            "and standard deviation, as the published code does."
        ),
    ] = "run",
    sessions: Sessions | None = None,
) -> None:
    """Read a NOD folder (OpenNeuro ds004496) into one directory of shards per subject.

    It reads derivatives/ciftify, stimuli and events. Betas are z-scored within each run; of V1, V2,
    V3 and V4 in each hemisphere the vertices of the highest pRF R² are kept. Everything is checked
    first, as by `algonauts`. Shards are written to DATA/nod-sub-01, DATA/nod-sub-02 …
    """
    from orchestrator.ingest.nod.files import find_subjects
    from orchestrator.ingest.run import ingest_nod

    files = find_subjects(source, options.subjects, sessions, atlas)
    choices = NodChoices(top, zscore, sessions)
    settings = Settings(options.split, is_simulated=is_simulated(source))
    ingest_nod(files, out, options.added_to(settings), choices, options.cpus)
