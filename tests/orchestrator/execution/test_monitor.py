"""The ends of trials: what is recorded when the display, MLflow or a worker fails."""

import errno
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.execution.monitor import Watcher
from tests.builders.small_scores import ENCODING, roi
from trainables.exceptions import Failure
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import SCORE_SCHEMA, describe_scores
from trainables.spec import Contrastive, Trial
from trainables.storage.atomic import write_parquet

TRIAL = Trial(Contrastive(), (roi("V1v"),), encoding=ENCODING)
SEARCHED = Trial(Contrastive(validation=0.2), (roi("V1v"),), encoding=None)
LOST = Failure("worker-lost", "its worker process died 1 times")


class Recorder:
    """A display and a tracker that note their calls, and raise an error if they have one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[tuple[str, Any]] = []
        self._error = error

    def __getattr__(self, name: str) -> Callable[..., None]:
        def note(*arguments: Any) -> None:
            self.calls.append((name, arguments[0]))
            if self._error is not None:
                raise self._error

        return note


def watcher(runs: Path, display: Any, tracker: Any) -> Watcher:
    return Watcher(display, tracker, {one.id: one for one in (TRIAL, SEARCHED)}, RunDirectory(runs))


def end(runs: Path, trial: Trial, status: Any = "finished") -> None:
    Outcome(trial, status, "host", "cpu", 7.0, {"reading": 1.0}).write(RunDirectory(runs))


def score(runs: Path) -> None:
    path = RunDirectory(runs).score_file(TRIAL.id, TRIAL.rois[0].id)
    described = describe_scores(TRIAL, code="")
    write_parquet(path, SCORE_SCHEMA.empty_table().replace_schema_metadata(described))


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), ValueError("damaged"), RuntimeError("bug")]
)
def test_a_display_or_mirror_that_fails_ends_no_trial(tmp_path, caplog, error) -> None:
    end(tmp_path, TRIAL)
    score(tmp_path)
    display, tracker = Recorder(error), Recorder(error)
    with caplog.at_level(logging.WARNING):
        watcher(tmp_path, display, tracker).finished(TRIAL.id)
        watcher(tmp_path, display, tracker).failed(SEARCHED.id, LOST)
    assert display.calls == [("finished", TRIAL.id), ("failed", SEARCHED.id)]
    assert tracker.calls == [("due", [TRIAL.id]), ("due", [SEARCHED.id])]
    assert len(caplog.records) == 4
    found = {one: Outcome.read(RunDirectory(tmp_path), one.id) for one in (TRIAL, SEARCHED)}
    assert [one and one.status for one in found.values()] == ["finished", "failed"]


@pytest.mark.parametrize("trial", [TRIAL, SEARCHED])
@pytest.mark.parametrize("status", ["finished", "stopped"])
def test_a_worker_that_dies_after_its_outcome_has_finished(tmp_path, trial, status) -> None:
    end(tmp_path, trial, status)
    score(tmp_path)
    before = RunDirectory(tmp_path).outcome_file(trial.id).read_text()
    display, tracker = Recorder(), Recorder()
    watcher(tmp_path, display, tracker).failed(trial.id, LOST)
    assert display.calls == [("finished", trial.id)]
    assert RunDirectory(tmp_path).outcome_file(trial.id).read_text() == before


def test_a_failure_never_replaces_a_finished_outcome(tmp_path) -> None:
    end(tmp_path, TRIAL)  # its scores were removed, and scoring it again has failed
    display = Recorder()
    watcher(tmp_path, display, Recorder()).failed(TRIAL.id, LOST)
    assert display.calls == [("failed", TRIAL.id)]
    outcome = Outcome.read(RunDirectory(tmp_path), TRIAL.id)
    assert outcome is not None
    assert outcome.status == "finished"


def test_a_failure_replaces_an_earlier_failure(tmp_path) -> None:
    watcher(tmp_path, Recorder(), Recorder()).failed(TRIAL.id, Failure("stalled", "first"))
    watcher(tmp_path, Recorder(), Recorder()).failed(TRIAL.id, LOST)
    outcome = Outcome.read(RunDirectory(tmp_path), TRIAL.id)
    assert outcome is not None
    assert (outcome.status, outcome.error, outcome.error_kind) == (
        "failed",
        LOST.message,
        "worker-lost",
    )


def test_a_read_only_run_directory_does_not_hide_the_error(tmp_path, monkeypatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "runs/trials/x.json")

    monkeypatch.setattr("trainables.results.outcome.write_text", refuse)
    shown: list[str] = []

    class Display:
        def failed(self, trial_id: str, error: str) -> None:
            shown.append(error)

    watcher(tmp_path, Display(), Recorder()).failed(TRIAL.id, Failure("input", "Traceback\nno x\n"))
    [error] = shown
    assert error.splitlines()[-1].startswith("no x (and its outcome can't be written: [Errno 30]")
