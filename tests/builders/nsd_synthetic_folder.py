"""Simulated NSD-synthetic beside NSD, and both as shards."""

from dataclasses import dataclass
from pathlib import Path

from orchestrator.ingest.checked import Findings, Subject
from orchestrator.ingest.nsd_synthetic.files import find_subjects
from orchestrator.ingest.nsd_synthetic.inspection import inspect_synthetic_subject
from orchestrator.ingest.simulate.nsd_ground_truth import NsdSimulation
from tests.builders.nsd_folder import write
from trainables.data.data_directory import DataDirectory

SETTINGS = NsdSimulation(
    subjects=(1,), n_images=60, n_shared=12, image_size=32, seed=1, n_synthetic=64
)


@dataclass(frozen=True)
class Ingested:
    """A source, and the directory with the subject's NSD and NSD-synthetic."""

    source: Path
    data: Path
    subject: Subject
    """NSD-synthetic as it was written."""


def inspect(source: Path, data: Path) -> tuple[Subject | None, Findings]:
    findings = Findings()
    (files,) = find_subjects(source, [1], DataDirectory(data))
    return inspect_synthetic_subject(files, "stimulus", findings, lambda count: None), findings


def ingest(source: Path, data: Path, scratch: Path) -> Ingested:
    """Ingest without Ray."""
    checked, findings = inspect(source, data)
    assert findings.complaints == []
    assert checked is not None
    assert checked.preparation is not None
    scratch.mkdir()
    ready = checked.preparation.run(scratch, lambda n_bytes: None)
    write(ready, data, "stimulus")
    return Ingested(source, data, ready)
