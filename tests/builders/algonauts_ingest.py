"""Inspect Algonauts folders and decode their images without Ray."""

import pyarrow as pa

from orchestrator.ingest.algonauts.files import find_subjects
from orchestrator.ingest.algonauts.inspection import Findings, Subject, inspect_subject
from orchestrator.ingest.images import decode_image
from orchestrator.ingest.settings import Settings

SETTINGS = Settings("paper", 8)


def inspect(root, subject=1, noise_ceilings=None, split="paper") -> Subject:
    findings = Findings()
    (files,) = find_subjects(root, [subject], noise_ceilings)
    checked = inspect_subject(files, split, findings, lambda count: None)
    assert findings.complaints == []
    assert checked is not None
    return checked


def batches(subject, n_images=5):
    """Decode without Ray."""
    for first in range(0, len(subject.images), n_images):
        paths = subject.images[first : first + n_images]
        raw = [decode_image(path, 8).tobytes() for path in paths]
        yield first, pa.array(raw, pa.binary(3 * 8 * 8))
