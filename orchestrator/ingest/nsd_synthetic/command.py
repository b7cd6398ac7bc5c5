"""The command that ingests NSD-synthetic."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from orchestrator.cli.selection import Subjects
from orchestrator.ingest.options import Cpus, ImageOptions, ImageSizes, Shards
from orchestrator.ingest.settings import Settings
from orchestrator.ingest.simulated import is_simulated


@Parameter(name="*")
@dataclass(frozen=True)
class SyntheticOptions(ImageOptions):
    """What is asked about every subject."""

    subjects: Annotated[Subjects | None, Parameter(show_default="every subject in SOURCE")] = None
    """Numbers and ranges such as 1,5-8, or names such as subj01."""
    image_size: ImageSizes = (224,)
    """Width and height that images are resized to, after their central square is cut out; several,
    as in 224,336, where models take images of several sizes."""
    cpus: Cpus = None


def nsd_synthetic(
    source: Annotated[
        Path, Parameter(help="Folder with nsddata, nsddata_betas and nsddata_stimuli.")
    ],
    /,
    *,
    out: Shards,
    options: SyntheticOptions = SyntheticOptions(),
) -> None:
    """Read NSD-synthetic, 284 artificial images, for models that were tuned on NSD.

    DATA must hold the subjects' NSD: the same vertices are read, in the same space. Betas are
    z-scored over the session and averaged over the trials of an image; noise ceilings are estimated
    from them. Shards are written to DATA/nsdsynthetic-subj01 …; `evaluate ood` uses them.
    """
    from orchestrator.ingest.nsd_synthetic.files import find_subjects
    from orchestrator.ingest.nsd_synthetic.inspection import inspect_synthetic_subject
    from orchestrator.ingest.run import ingest_subjects

    files = find_subjects(source, options.subjects, out)
    settings = options.added_to(Settings("stimulus", is_simulated=is_simulated(source)))
    ingest_subjects(files, inspect_synthetic_subject, out, settings, options.cpus)
