"""The frozen file of hyperparameters that a search ends in, and a space that uses it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from orchestrator.cli.errors import InputError
from trainables.spec import Contrastive, Trial
from trainables.spec.search import Values, checked
from trainables.storage.atomic import write_text

SCHEMA_VERSION: Final = 1
KEYS: Final = ("schema_version", "hyperparameters", "found")


@dataclass(frozen=True)
class Found:
    """Where hyperparameters came from."""

    space: str
    searcher: str
    seed: int
    rois: tuple[str, ...]
    n_configurations: int
    best: tuple[dict[str, Any], ...]
    """The best few configurations: values, mean rank share, mean top-1, ROIs finished, stopped."""
    validation: float
    dataset_fingerprint: str
    code_version: str
    date: str
    """Of the last trial's end, UTC."""


def write_hyperparameters(path: Path, values: Values, found: Found) -> None:
    """Write the file beside and rename it."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "hyperparameters": checked(values),
        "found": asdict(found),
    }
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_hyperparameters(path: Path) -> Values:
    """Read the values of a frozen file.

    Raises InputError naming the file, what is wrong and what was expected.
    """
    cure = "give the hyperparameters.json of a finished search"
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; {cure}") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); {cure}") from error
    if not isinstance(content, dict) or set(content) != set(KEYS):
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: expected the keys {', '.join(KEYS)}, found {found}; {cure}")
    if content["schema_version"] != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema version {content['schema_version']!r}, this program reads "
            f"{SCHEMA_VERSION}; run the search again"
        )
    if not isinstance(content["hyperparameters"], dict):
        raise InputError(f"{path}: hyperparameters: expected an object; {cure}")
    try:
        values = checked(content["hyperparameters"])
        Contrastive(**values)  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"{path}: {error}; {cure}") from error
    return MappingProxyType(values)


def with_hyperparameters(trials: Sequence[Trial], values: Values) -> list[Trial]:
    """Return the trials with the values in the contrastive ones; those that become one are one.

    Raises InputError when no trial is contrastive.
    """
    changed = [_changed(trial, values) for trial in trials]
    if not any(isinstance(trial.objective, Contrastive) for trial in changed):
        raise InputError("--hyperparameters: the space has no contrastive trial to change")
    return list({trial.id: trial for trial in changed}.values())


def _changed(trial: Trial, values: Values) -> Trial:
    if not isinstance(trial.objective, Contrastive):
        return trial
    return replace(trial, objective=replace(trial.objective, **values))  # type: ignore[arg-type]
