"""Inspect and ingest simulated NOD folders without Ray."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from orchestrator.ingest.checked import Findings, Subject
from orchestrator.ingest.images import decode_image
from orchestrator.ingest.nod.files import find_subjects
from orchestrator.ingest.nod.inspection import inspect_nod_subject
from orchestrator.ingest.settings import NodChoices, Settings
from orchestrator.ingest.simulate.nod import simulate_nod
from orchestrator.ingest.writer import write_subject
from tests.builders.nod_folder import (
    SETTINGS,
    NodFolder,
)
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest
from trainables.spec.rois import (
    HEMISPHERES,
    NOD_ROIS,
)

SIZE = 8


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A simulated folder; a test that changes it takes a copy."""
    root = tmp_path_factory.mktemp("nod") / "source"
    simulate_nod(root, SETTINGS)
    return root


@pytest.fixture
def folder(source, tmp_path) -> NodFolder:
    return NodFolder(Path(shutil.copytree(source, tmp_path / "source")))


def inspect(root: Path, subject: int = 1, split: str = "paper", atlas=None, **choices) -> Subject:
    findings = Findings()
    chosen = NodChoices(**choices)
    (files,) = find_subjects(root, [subject], chosen.sessions, atlas)
    looked: list[int] = []
    checked = inspect_nod_subject(chosen, files, split, findings, looked.append)
    assert findings.complaints == []
    assert checked is not None
    assert sum(looked) == len(checked.images) == files.count_images()
    return checked


def batches(subject: Subject) -> Iterator[tuple[int, pa.Array]]:
    """Decode without Ray."""
    raw = [decode_image(path, SIZE).tobytes() for path in subject.images]
    yield 0, pa.array(raw, pa.binary(3 * SIZE * SIZE))


def ingest(root: Path, out: Path, subject: int = 1, **choices) -> Manifest:
    checked = inspect(root, subject, **choices)
    settings = Settings("paper", SIZE, NodChoices(**choices).record())
    return write_subject(checked, batches(checked), DataDirectory(out), settings)


def same(one: Subject, other: Subject) -> bool:
    pairs = [(one.hemispheres[s], other.hemispheres[s]) for s in HEMISPHERES]
    return (
        one.stimuli == other.stimuli
        and one.images == other.images
        and all((a.coordinates["fslr"] == b.coordinates["fslr"]).all() for a, b in pairs)
        and all((a.regions[r] == b.regions[r]).all() for a, b in pairs for r in NOD_ROIS)
        and all((one.responses()[s] == other.responses()[s]).all() for s in HEMISPHERES)
    )
