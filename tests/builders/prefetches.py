"""Prefetching of a trial on the second subject, while one on the first computes."""

from pathlib import Path

import pytest

from tests.builders.tiny_runs import Place
from trainables.data import rows
from trainables.spec.evaluation import WorkItem
from trainables.worker import prefetch as prefetch_module
from trainables.worker.prefetch import Prefetch

ROWS = [f"nsd-subj02/rows-0000{number}.parquet" for number in range(3)]
VERTICES = "nsd-subj02/vertices.parquet"
AMPLE = 10**9


@pytest.fixture
def small_files(monkeypatch) -> None:
    for name in ("ROWS_PER_ROW_GROUP", "ROWS_PER_FILE"):
        monkeypatch.setattr(rows, name, 20)


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The files that are read, in order."""
    found: list[str] = []

    def note(path: Path, *expected: str) -> None:
        found.append(f"{path.parent.name}/{path.name}")

    monkeypatch.setattr(prefetch_module, "verify", note)
    monkeypatch.setattr(prefetch_module, "hash_unchanged", note)
    return found


def prefetch_of(place: Place, present: WorkItem, memory: int = AMPLE) -> Prefetch:
    return Prefetch(place.context(), present, dict.fromkeys(present.shards, 32), memory)


def trials(place: Place) -> tuple[WorkItem, WorkItem]:
    """A trial on the first subject, and one on the second."""
    return place.trial(roi=0), place.trial(roi=5)
