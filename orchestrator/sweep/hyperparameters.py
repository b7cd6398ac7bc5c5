"""The frozen file of hyperparameters that a search ends in, and a space that uses it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from orchestrator.cli.errors import InputError
from trainables.spec import Contrastive, Trial
from trainables.spec.fields import Count, Int, Share, Text
from trainables.spec.records import read_record, record
from trainables.spec.search import Hyperparameters, Values, checked
from trainables.storage.atomic import write_text

SCHEMA_VERSION: Final = 1
CURE: Final = "give the hyperparameters.json of a finished search"


@record
class Found:
    """Where hyperparameters came from."""

    space: Text
    searcher: Text
    seed: Int
    rois: tuple[Text, ...]
    n_configurations: Count
    best: tuple[dict[str, Any], ...]
    """The best few configurations: values, mean rank share, mean top-1, ROIs finished, stopped."""
    validation: Share
    dataset_fingerprint: Text
    code_version: Text
    date: Text
    """Of the last trial's end, UTC."""


@record
class FrozenFile:
    """The content of the file."""

    hyperparameters: Hyperparameters
    found: Mapping[str, Any]
    """For people: the fields of Found. Nothing reads them."""
    schema_version: Int = SCHEMA_VERSION


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

    Raises ValueError naming the file, what is wrong and what was expected.
    """
    try:
        found = read_record(path, FrozenFile, CURE)
    except FileNotFoundError as error:
        raise InputError(f"{path}: {error.strerror}; {CURE}") from error
    return MappingProxyType(asdict(found.hyperparameters))


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
    return replace(trial, objective=replace(trial.objective, **checked(values)))
