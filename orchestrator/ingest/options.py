"""Parameters that the ingests of several data sets have.

Nothing here imports what is slow to import.
"""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from orchestrator.cli.arguments import PositiveInteger, data_directory, read_with
from orchestrator.cli.selection import Subjects
from orchestrator.ingest.settings import SplitName
from trainables.data.data_directory import DataDirectory

Shards = Annotated[
    DataDirectory,
    read_with(data_directory, "DATA"),
    Parameter(help="Directory of the ingested shards: a local one, or s3://BUCKET/PREFIX."),
]
Cpus = Annotated[
    PositiveInteger | None,
    Parameter(
        help="CPUs of the local Ray; with RAY_ADDRESS set, that cluster is used.",
        show_default="all of this machine",
    ),
]
ImageSize = Annotated[PositiveInteger, Parameter(metavar="PIXELS")]


@Parameter(name="*")
@dataclass(frozen=True)
class SubjectOptions:
    """What is asked about every set of subjects."""

    subjects: Annotated[Subjects | None, Parameter(show_default="every subject in SOURCE")] = None
    """Numbers and ranges such as 1,5-8, or names such as subj01."""
    cpus: Cpus = None
    split: SplitName = "stimulus"
    """stimulus: an image is a test image for every subject or for none, by the hash of its id, 15 %
    of them; paper: the published seeded permutation of each subject's images, of which 85 % are
    training images."""
    image_size: ImageSize = 224
    """Width and height that images are resized to, without a crop."""
