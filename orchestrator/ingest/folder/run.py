"""Ingest the subjects of a folder of one's own."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from orchestrator.ingest.folder.files import FolderChoices, FolderFiles
from orchestrator.ingest.folder.inspection import inspect_folder_subject
from orchestrator.ingest.run import Ingested, ingest_subjects
from orchestrator.ingest.settings import Settings
from orchestrator.ingest.simulated import is_simulated
from trainables.data.data_directory import DataDirectory


def ingest_folder(
    files: Sequence[FolderFiles],
    out: DataDirectory,
    settings: Settings,
    choices: FolderChoices,
    num_cpus: int | None = None,
) -> list[Ingested]:
    """Write the subjects of a folder as shards under out, and show how it went.

    files: of `find_subjects`. settings: of `settings_of`. Raises InputError with everything that
    is wrong in the source, before anything is written.
    """
    settings = replace(settings, is_simulated=is_simulated(files[0].source))
    inspect = partial(inspect_folder_subject, choices)
    return ingest_subjects(files, inspect, out, settings, num_cpus)
