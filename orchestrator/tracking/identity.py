"""What a sweep is to MLflow: its experiment, and the key by which its run is found again."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec import digest
from trainables.spec.fields import Text
from trainables.spec.records import read_record, record
from trainables.storage.atomic import write_text

DIRECTORY: Final = "run_directory"
"""Tag of a parent run: the identity of its run directory, by which a report finds it."""


@record
class Identity:
    """What a run directory is called in MLflow, wherever it is moved or copied."""

    key: Text


def identity_of(runs: RunDirectory) -> str:
    """Return the identity of a run directory; make and write one if it has none."""
    cure = "remove it; its trials are then mirrored again"
    try:
        return read_record(runs.identity_file, Identity, cure).key
    except FileNotFoundError:
        made = Identity(secrets.token_hex(8))
        write_text(runs.identity_file, json.dumps(asdict(made)) + "\n")
        return made.key


@dataclass(frozen=True)
class Sweep:
    """The content of the parent run, and where its trials' or evaluations' files are."""

    experiment: str
    space: str
    data: DataDirectory
    runs: RunDirectory
    fingerprint: str
    command: str = "sweep"
    """``sweep``, or ``evaluate``, for which ``space`` is the kind of evaluation."""
    hyperparameters: str | None = None
    """Digest of the hyperparameter file that the trials use, if one was given."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of the trials' runs, by id; a trial without one is named by its id."""
    command_line: str = ""
    """The command as it was typed; empty if it was not started from a command line."""
    source: Path | None = None
    """File of the search space."""

    @property
    def key(self) -> str:
        """Identify this sweep: the same space on the same directory continues the same run.

        A copy of the directory is the same, and one that was made anew at its path is another.
        """
        named = [self.space] if self.command == "sweep" else [self.command, self.space]
        of_file = [self.hyperparameters] if self.hyperparameters else []
        return digest([*named, identity_of(self.runs), *of_file])
