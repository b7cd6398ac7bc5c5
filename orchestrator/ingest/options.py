"""Parameters that the ingests of several data sets have.

Nothing here imports what is slow to import.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from cyclopts import Parameter, Token

from orchestrator.cli.arguments import PositiveInteger, data_directory, read_with, split_list
from orchestrator.cli.selection import Subjects
from orchestrator.cli.values import positive_integer
from orchestrator.ingest.settings import Settings, SplitName
from trainables.data.data_directory import DataDirectory
from trainables.spec.interpolation import BILINEAR, Interpolation

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


def _sizes(_: object, tokens: Sequence[Token]) -> tuple[int, ...]:
    """Read sizes from ``224,336``, or from an option that is given several times."""
    texts = [text for token in tokens for text in split_list(token.value)]
    return tuple(dict.fromkeys(positive_integer(text) for text in texts))


ImageSizes = Annotated[
    tuple[int, ...],
    Parameter(
        converter=_sizes, n_tokens=1, accepts_keys=False, metavar="PIXELS", show_default="224"
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class ImageOptions:
    """How images are resized."""

    image_size: ImageSizes = (224,)
    """Width and height that images are resized to, without a crop. Several, as in 224,336, store
    the same images at each size, of which each network gets the one that serves it."""
    interpolation: Interpolation = BILINEAR
    """How images are resized, with antialiasing."""

    def added_to(self, settings: Settings) -> Settings:
        """Return settings with these sizes and this interpolation."""
        first, *further = self.image_size
        return replace(
            settings,
            image_size=first,
            further_sizes=tuple(further),
            interpolation=self.interpolation,
        )


@Parameter(name="*")
@dataclass(frozen=True)
class SubjectOptions(ImageOptions):
    """What is asked about every set of subjects."""

    subjects: Annotated[Subjects | None, Parameter(show_default="every subject in SOURCE")] = None
    """Numbers and ranges such as 1,5-8, or names such as subj01."""
    cpus: Cpus = None
    split: SplitName = "stimulus"
    """stimulus: an image is a test image for every subject or for none, by the hash of its id, 15 %
    of them; paper: the published seeded permutation of each subject's images, of which 85 % are
    training images."""
