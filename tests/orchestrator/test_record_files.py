"""All records of the program: strict in their fields, and refused in one line where damaged."""

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import orchestrator
import trainables
from orchestrator.analyze.analysis import read_missing
from orchestrator.execution.run_record import Command, read_running
from orchestrator.sweep.hyperparameters import read_hyperparameters
from trainables.data.shards import Manifest
from trainables.data.tasks import TaskManifest
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.checkpoint_notes import LAST
from trainables.training.checkpoints import load_backbone

PACKAGES = (trainables, orchestrator)
RECORD = re.compile(r"^@(?:records\.)?record\nclass (\w+)", re.MULTILINE)


def record_classes() -> list[type[Any]]:
    found = []
    for package in PACKAGES:
        home = Path(package.__path__[0])
        for path in sorted(home.rglob("*.py")):
            for name in RECORD.findall(path.read_text()):
                parts = path.relative_to(home.parent).with_suffix("").parts
                found.append(getattr(importlib.import_module(".".join(parts)), name))
    return found


def lenient_types(schema: Any, seen: set[int]) -> list[str]:
    """List the types of a schema that others are converted to, as text to a number."""
    found = []
    if isinstance(schema, dict):
        if schema.get("type") == "function-plain":  # a validator of our own decides
            return []
        if schema.get("type") in ("int", "float", "str", "bool") and not schema.get("strict"):
            found.append(str(schema["type"]))
        schema = list(schema.values())
    if isinstance(schema, list | tuple) and id(schema) not in seen:
        seen.add(id(schema))
        for one in schema:
            found += lenient_types(one, seen)
    return found


def test_no_field_of_a_record_converts_text_or_truth_to_numbers() -> None:
    kinds = record_classes()
    assert len(kinds) >= 32
    assert {k.__name__: lenient_types(k.__pydantic_core_schema__, set()) for k in kinds} == {
        k.__name__: [] for k in kinds
    }


READERS: dict[str, Callable[[Path], object]] = {
    "manifest.json": Manifest.read,
    "tasks/manifest.json": lambda home: TaskManifest.read(home / "tasks"),
    "trials/a.json": lambda home: Outcome.read(RunDirectory(home), "a"),
    "operation/command.json": lambda home: Command.read(RunDirectory(home)),
    "operation/running.json": lambda home: read_running(RunDirectory(home)),
    "analyses/layers.missing.json": lambda home: read_missing(RunDirectory(home), "layers"),
    f"checkpoints/{LAST}": lambda home: load_backbone(StoredDirectory(home / "checkpoints")),
    "hyperparameters.json": lambda home: read_hyperparameters(home / "hyperparameters.json"),
}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"3",
        b"[1]",
        b'{"a": 1}',
        b"[" * 10**6,
        b'{"a":' * 10**5,
        b"1" * 10**5,
        b'{"a": NaN, "a": 1e999}',
    ],
    ids=lambda content: repr(content[:12]),
)
@pytest.mark.parametrize("name", READERS)
def test_a_file_of_anything_else_is_refused_in_one_line_with_a_cure(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(ValueError) as refusal:
        READERS[name](tmp_path)
    text = str(refusal.value)
    assert text.startswith(f"{path}: ")
    assert "; " in text
    assert "\n" not in text
    assert len(text) < 500 + 2 * len(str(tmp_path))


def test_the_readers_are_asked_for_the_files_they_read(tmp_path: Path) -> None:
    assert (
        RunDirectory(tmp_path).missing_file("layers") == tmp_path / "analyses/layers.missing.json"
    )
