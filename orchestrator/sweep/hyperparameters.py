"""The file of hyperparameters that a search writes, and its use in a search space."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from orchestrator.cli.errors import InputError
from trainables.spec import Trial
from trainables.spec.fields import Count, Flag, Int, Share, Text
from trainables.spec.records import read_record, record
from trainables.spec.search import Hyperparameters, Values, checked, kind_of
from trainables.storage.atomic import write_text

SCHEMA_VERSION: Final = 1
CURE: Final = "give the hyperparameters.json of a finished search"


@record
class Found:
    """The search that found hyperparameters."""

    space: Text
    searcher: Text
    seed: Int
    rois: tuple[Text, ...]
    n_configurations: Count
    best: tuple[dict[str, Any], ...]
    """The best configurations: values, mean rank share, mean top-1, ROIs finished and stopped."""
    validation: Share
    dataset_fingerprint: Text
    code_version: Text
    date: Text
    """Date of the last trial's end, in UTC."""
    is_simulated: Flag = False
    """Whether responses of any of the ROIs are simulated."""


@record
class FrozenFile:
    """The content of the file."""

    hyperparameters: Hyperparameters
    found: Mapping[str, Any]
    """The fields of Found, for readers; the program does not use them."""
    schema_version: Int = SCHEMA_VERSION


def write_hyperparameters(path: Path, values: Values, found: Found) -> None:
    """Write the file atomically."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "hyperparameters": checked(values),
        "found": asdict(found),
    }
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_hyperparameters(path: Path) -> Values:
    """Read the values of a hyperparameter file.

    Raises ValueError naming the file, the problem and what was expected.
    """
    try:
        found = read_record(path, FrozenFile, CURE)
    except FileNotFoundError as error:
        raise InputError(f"{path}: {error.strerror}; {CURE}") from error
    return MappingProxyType(found.hyperparameters.values)


def with_hyperparameters(trials: Sequence[Trial], values: Values) -> list[Trial]:
    """Return trials with values set in those of the searched objective, without duplicates.

    Raises InputError if no trial has it.
    """
    kind = kind_of(values)
    changed = [_changed(trial, values) for trial in trials]
    if not any(isinstance(trial.objective, kind) for trial in changed):
        name = kind.__name__.lower()
        raise InputError(f"--hyperparameters: the space has no {name} trial to change")
    return list({trial.id: trial for trial in changed}.values())


def _changed(trial: Trial, values: Values) -> Trial:
    if not isinstance(trial.objective, kind_of(values)):
        return trial
    return replace(trial, objective=replace(trial.objective, **checked(values)))
