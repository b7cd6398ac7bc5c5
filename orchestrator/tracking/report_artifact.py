"""Log a report to MLflow, as an artifact of the sweeps that it is about.

MLflow takes two seconds to import. Where its store is a local SQLite file, which is the default,
two of its tables say where the runs keep their artifacts, and a copy of the page there is all that
MLflow would make.
"""

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from orchestrator.tracking.identity import DIRECTORY, identity_of
from orchestrator.tracking.mlflow_store import sqlite_path, tracking_uri
from trainables.results.run_directory import RunDirectory
from trainables.storage.atomic import atomic_write

FOLDER: Final = "report"
"""Directory of the report within a run's artifacts."""
QUERY: Final = """
SELECT runs.artifact_uri FROM runs
JOIN tags ON tags.run_uuid = runs.run_uuid
JOIN experiments ON experiments.experiment_id = runs.experiment_id
WHERE tags.key = ? AND tags.value = ?
AND runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'
"""
"""Where the runs with a tag keep their artifacts, of those that are not deleted."""


def log_report(runs: RunDirectory, page: Path) -> int:
    """Log a report as an artifact of the parent runs of its directory; return their number.

    0 where nothing of the directory was mirrored, or the store of its runs is not here. May raise
    OSError, StoreError and MLflow's exceptions.
    """
    uri = tracking_uri()
    file = sqlite_path(uri)
    if not runs.identity_file.is_file() or (file is not None and not file.is_file()):
        return 0
    identity = identity_of(runs)
    directories = None if file is None else _artifact_directories(file, identity)
    if directories is None:
        return _log_by_client(uri, identity, page)
    for directory in directories:
        with atomic_write(directory / FOLDER / page.name) as beside:
            shutil.copyfile(page, beside)
    return len(directories)


def _artifact_directories(file: Path, identity: str) -> Sequence[Path] | None:
    """Read where the parent runs of a directory keep their artifacts.

    None where MLflow itself must say it: the tables are others, or artifacts are not local files.
    """
    address = f"file:{quote(str(file.absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            found = database.execute(QUERY, (DIRECTORY, identity)).fetchall()
    except sqlite3.Error:
        return None
    directories = [Path(str(uri).removeprefix("file://")) for (uri,) in found]
    return directories if all(one.is_absolute() for one in directories) else None


def _log_by_client(uri: str, identity: str, page: Path) -> int:
    """Log a report by MLflow's client; return the number of runs that have it."""
    from orchestrator.tracking.store_check import open_store  # imports MLflow

    client = open_store(uri)
    experiments = [one.experiment_id for one in client.search_experiments()]
    parents = client.search_runs(experiments, f"tags.{DIRECTORY} = '{identity}'")
    for parent in parents:
        client.log_artifact(parent.info.run_id, str(page), FOLDER)
    return len(parents)
