"""Ingest files of MOSAIC: find what belongs to them, check everything, then write."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from orchestrator.cli.errors import InputError
from orchestrator.ingest.mosaic.choices import MosaicChoices
from orchestrator.ingest.mosaic.files import (
    Companions,
    find_atlas,
    find_folder,
    find_lists,
    find_subjects,
)
from orchestrator.ingest.mosaic.inspection import inspect_mosaic_subject
from orchestrator.ingest.mosaic.names import LONG_NAMES
from orchestrator.ingest.mosaic.stimulus_files import StimulusPlaces
from orchestrator.ingest.run import Ingested, ingest_subjects
from orchestrator.ingest.settings import Settings
from orchestrator.ingest.simulated import is_simulated
from trainables.data.data_directory import DataDirectory


class Given(Protocol):
    """Where the user says that files are; None for what is to be found."""

    @property
    def stimuli(self) -> Sequence[str] | None:
        """Folders, each perhaps after ``DATASET=``."""

    @property
    def stimulus_info(self) -> Path | None:
        """Folder of the tables of stimuli."""

    @property
    def atlas(self) -> Path | None:
        """File of the atlas."""

    @property
    def split_lists(self) -> Path | None:
        """Folder of the lists of the split."""


def ingest_mosaic(
    files: Sequence[Path],
    out: DataDirectory,
    settings: Settings,
    choices: MosaicChoices,
    given: Given,
    subjects: Sequence[int] | None = None,
    num_cpus: int | None = None,
) -> list[Ingested]:
    """Write the subjects of MOSAIC's files as shards under out, and show how it went.

    files: files, or folders of them. subjects: numbers, of every data set; None for all. Raises
    InputError with everything that is wrong in the source, before anything is written.
    """
    refuse_choices(choices)
    home = home_of(files[0])
    companions = find_companions(home, given, choices)
    found = find_subjects(files, subjects, companions, choices)
    simulated = {is_simulated(one.path.parent) for one in found}
    if len(simulated) > 1:
        raise InputError(
            f"{home}: simulated and measured subjects; give them to separate commands, with "
            "another --out each"
        )
    settings = replace(settings, choices=choices.record(), is_simulated=simulated.pop())
    return ingest_subjects(found, inspect_mosaic_subject, out, settings, num_cpus)


def refuse_choices(choices: MosaicChoices) -> None:
    """Raise InputError for choices that contradict one another."""
    if choices.test != "natural" and choices.split not in ("phase", "lists"):
        raise InputError(
            f"--test {choices.test}: --split {choices.split} would train on artificial images too; "
            "use --split phase or lists"
        )


def home_of(source: Path) -> Path:
    """Return the folder of a file, or a folder itself."""
    return source if source.is_dir() else source.parent


def find_companions(home: Path, given: Given, choices: MosaicChoices) -> Companions:
    """Find what belongs to the files of a folder; raise InputError with all that is missing."""
    tables = find_folder(
        home, given.stimulus_info, ("stimulus_info",), "*_stiminfo.tsv", "--stimulus-info"
    )
    return Companions(
        stimuli=read_places(home, given.stimuli),
        tables=tables,
        atlas=find_atlas(home, given.atlas),
        lists=find_lists(home, given.split_lists, choices),
    )


def read_places(home: Path, given: Sequence[str] | None) -> StimulusPlaces:
    """Read where the stimuli are: ``DIR`` of all data sets, ``NOD=DIR`` of one.

    Raises InputError where two are given for the same.
    """
    if not given:
        return StimulusPlaces({}, home / "stimuli")
    by_dataset: dict[str, Path] = {}
    for text in given:
        name, mark, folder = text.partition("=")
        is_one = bool(mark) and "/" not in name
        dataset, path = (_dataset(name), Path(folder)) if is_one else ("", Path(text))
        if dataset in by_dataset:
            raise InputError(
                f"--stimuli {text}: {by_dataset[dataset]} is given too; give one folder"
                f"{' of ' + dataset if dataset else ''}"
            )
        by_dataset[dataset] = path
    others = by_dataset.pop("", None)
    return StimulusPlaces(by_dataset, others)


def _dataset(name: str) -> str:
    """Return a data set's short name, however its case is written."""
    return next((short for short in LONG_NAMES if short.lower() == name.lower()), name)
