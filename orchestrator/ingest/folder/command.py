"""The command that ingests a folder of one's own, or writes a template of one."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import Subjects
from orchestrator.ingest.options import Cpus, ImageOptions, Shards
from orchestrator.ingest.settings import Repeats

Split = Annotated[
    Literal["given", "stimulus", "paper"] | None,
    Parameter(
        help="given: by the column split of stimuli.csv; stimulus: by the hash of the stimulus id, "
        "15 % test images; paper: a seeded permutation of each subject's images.",
        show_default="given where there is that column, else stimulus",
    ),
]
ZScore = Annotated[
    Literal["session", "all", "none"] | None,
    Parameter(
        help="Z-score each column within each session, or over all presentations.",
        show_default="session; none if dataset.json says averaged or zscored",
    ),
]
Ceiling = Annotated[
    Literal["given", "ncsnr", "split-half", "none"] | None,
    Parameter(
        help="Noise ceilings: given in neuroids.csv, or estimated from repeated images.",
        show_default="given, else ncsnr, else none",
    ),
]


Repeated = Annotated[
    Repeats,
    Parameter(
        help="mean: the mean of an image's presentations; first: the first in presentations.csv "
        "alone; rows: the single trials of training images too, which fine-tuning uses in turn and "
        "readouts count one by one."
    ),
]


def folder(
    source: Annotated[
        Path | None,
        Parameter(help="Folder with dataset.json, stimuli.csv, images and sub-01 …"),
    ] = None,
    /,
    *,
    out: Shards | None = None,
    subjects: Annotated[Subjects | None, Parameter(show_default="every subject in SOURCE")] = None,
    cpus: Cpus = None,
    split: Split = None,
    images: ImageOptions = ImageOptions(),
    zscore: ZScore = None,
    ceiling: Ceiling = None,
    repeats: Repeated = "mean",
    init: Annotated[
        Path | None,
        Parameter(metavar="DIR", help="Write a commented template to this new directory instead."),
    ] = None,
) -> None:
    """Read your own data, in a folder of tables, arrays and images, into shards per subject.

    docs/own-data.md describes the folder. Repeated presentations are averaged, unless --repeats
    says otherwise; noise ceilings are estimated from them. Everything is checked first, as by
    `algonauts`; `ingest check SOURCE` only checks. Shards are written to DATA/NAME-sub-01,
    DATA/NAME-sub-02 …
    """
    if init is not None:
        from orchestrator.ingest.folder.template import write_template

        if source is not None or out is not None:
            raise InputError("--init writes a template alone: leave SOURCE and --out away")
        write_template(init)
        sys.stdout.write(f"{init}: template written; fill it in, then: ingest check {init}\n")
        return
    if source is None or out is None:
        raise InputError("expected SOURCE and --out, or --init DIR for a template")
    from orchestrator.ingest.folder.files import FolderChoices, find_subjects, settings_of
    from orchestrator.ingest.folder.run import ingest_folder

    files = find_subjects(source, subjects)
    choices = FolderChoices.of(files[0].description, zscore, ceiling, repeats)
    settings = images.added_to(settings_of(files[0], choices, split))
    ingest_folder(files, out, settings, choices, cpus)
