"""Ingest NSD as released."""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.ingest.nsd.files import NsdFiles
from orchestrator.ingest.nsd.inspection import inspect_nsd_subject
from orchestrator.ingest.nsd.settings import NsdChoices
from orchestrator.ingest.run import Ingested, ingest_subjects
from orchestrator.ingest.settings import Settings
from trainables.data.data_directory import DataDirectory


def ingest_nsd(
    files: Sequence[NsdFiles],
    out: DataDirectory,
    settings: Settings,
    choices: NsdChoices,
    num_cpus: int | None = None,
) -> list[Ingested]:
    """Write the subjects of NSD as shards under out, and show how it went.

    files: from `orchestrator.ingest.nsd.files.find_subjects`. Raises InputError with everything
    that is wrong in the source, before anything is written; what only reading the betas finds, for
    that subject alone.
    """
    settings = replace(settings, choices=choices.record())
    return ingest_subjects(files, inspect_nsd_subject, out, settings, num_cpus)
