"""A small challenge, and the folder and models of a submission to it."""

from pathlib import Path

import pytest

from orchestrator.submit import challenge_files, run
from tests.builders.challenge_folder import N_TEST, N_VERTICES, ChallengeFolder, write_challenge
from tests.builders.exported_models import Swept


@pytest.fixture(autouse=True)
def small_challenge(monkeypatch: pytest.MonkeyPatch) -> None:
    """A challenge of one subject, whose images take two batches."""
    counts = challenge_files.Counts(N_TEST, N_VERTICES)
    monkeypatch.setattr(challenge_files, "COUNTS", {"subj01": counts})
    monkeypatch.setattr(run, "FEATURE_BATCH", {"cpu": 4})


@pytest.fixture
def folder(swept: Swept, tmp_path: Path) -> ChallengeFolder:
    return write_challenge(tmp_path, swept)
