"""The notes of a training's checkpoints: which files they have, and the epochs before them.

Reading them imports no torch.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field

from trainables.results.epoch_report import EpochReport
from trainables.spec.fields import Count, Name, Text
from trainables.spec.records import parse, read_bounded, record
from trainables.storage.stored_directory import StoredDirectory

LAST: Final = "last.json"
BEST: Final = "best.json"

Keep = Literal["every", "best", "last", "none"]
"""Weights of a training that are kept: of every epoch, of the last and the best, of the last, whose
scores are measured; or none of those that a command makes, once its trials need them no more."""


@record
class Note:
    """The content of ``last.json`` and ``best.json``: a checkpoint's files and history."""

    epoch: Count
    model: Name
    """File of the model's weights."""
    optimizer: Name | None
    """File of the optimiser's state; None when the training is complete."""
    sha256: dict[Name, Text]
    history: Annotated[tuple[EpochReport, ...], Field(min_length=1)]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a note; raise ValueError if it is damaged, FileNotFoundError if it is absent."""
        return parse(cls, read_bounded(path))


def has_weights(directory: StoredDirectory) -> bool:
    """Return whether a training has a checkpoint, complete or not."""
    return directory.has(directory.path / LAST)


def is_complete(directory: StoredDirectory) -> bool:
    """Return whether a training is complete by its last checkpoint; True if it may not be read."""
    try:
        return Note.read(directory.path / LAST).optimizer is None
    except (FileNotFoundError, ValueError):
        return False
    except OSError:
        return True


def read_history(directory: StoredDirectory) -> tuple[EpochReport, ...]:
    """Read the epoch reports of a training's last checkpoint; () without a valid checkpoint."""
    try:
        return Note.read(directory.path / LAST).history
    except (OSError, ValueError):
        return ()
