"""MLflow written in the background: in order, and later where its store was down."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.tracking import background, store_check
from orchestrator.tracking.background import Tracker, start_tracker
from tests.builders.mirrored_runs import finetuned, finish, runs_of
from tests.builders.tcp_listeners import closed_port, silent_port

WAIT = 60


@pytest.mark.slow
def test_what_a_store_that_was_down_has_missed_is_written_when_it_is_back(
    sweep, store, monkeypatch
) -> None:
    trials = [finetuned(sweep, roi) for roi in range(3)]
    for trial in trials:
        finish(sweep, trial)
    ids = [trial.id for trial in trials]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    warnings: list[str] = []
    start = time.monotonic()
    tracker = start_tracker(sweep, warnings.append)
    tracker.due(ids)
    assert tracker.close(complete=True) == ids
    assert time.monotonic() - start < 30
    assert warnings[-1].startswith("MLflow (http://127.0.0.1:")
    assert "\n" not in warnings[-1]

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    tracker = start_tracker(sweep, warnings.append)
    tracker.due(ids)
    assert tracker.close(complete=True) == []
    [parent], children = runs_of(sweep, store)
    assert parent.info.status == "FINISHED"
    assert {child.data.tags["trial_id"] for child in children} == set(ids)


FIRST_SWEEP = """
from pathlib import Path
from orchestrator.tracking import background
from orchestrator.tracking.identity import Sweep
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
sweep = Sweep("demo", "demo", DataDirectory(Path("data")), RunDirectory(Path("runs")), "0123")
background._open_mirror(sweep)
"""


def test_a_new_store_is_made_without_a_line_of_mlflows_own(tmp_path: Path) -> None:
    # In a process of its own: the first import of MLflow sets the levels of its loggers.
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", FIRST_SWEEP],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": root, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "mlflow.db").is_file()


class FakeMirror:
    """Record what is to be written; fail while the flag is set."""

    def __init__(self) -> None:
        self.down: Exception | None = None
        self.opened = 0
        self.written: list[str] = []
        self.closed: list[bool] = []

    def open(self) -> "FakeMirror":
        self.opened += 1
        if self.down:
            raise self.down
        return self

    def write(self, trial_id: str) -> None:
        if self.down:
            raise self.down
        self.written.append(trial_id)

    def close(self, *, complete: bool) -> None:
        self.closed.append(complete)


def wait_until(condition) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_trials_are_written_in_order_and_the_parent_closed_last() -> None:
    mirror, warnings = FakeMirror(), []
    tracker = Tracker(mirror.open, warnings.append)
    tracker.due(["a", "b"])
    tracker.due(["c"])
    assert tracker.close(complete=True) == []
    assert mirror.written == ["a", "b", "c"]
    assert mirror.closed == [True]
    assert mirror.opened == 1
    assert warnings == []


def test_a_store_is_opened_before_a_trial_has_ended_and_once() -> None:
    mirror, warnings = FakeMirror(), []
    tracker = Tracker(mirror.open, warnings.append)
    tracker.due([])
    tracker.prepare()
    wait_until(lambda: mirror.opened)
    tracker.due(["a"])
    assert tracker.close(complete=True) == []
    assert (mirror.opened, mirror.written, mirror.closed, warnings) == (1, ["a"], [True], [])


def test_a_store_that_could_not_be_opened_is_opened_for_the_first_trial() -> None:
    mirror, warnings = FakeMirror(), []
    mirror.down = ConnectionError("refused")
    tracker = Tracker(mirror.open, warnings.append)
    tracker.prepare()
    wait_until(lambda: warnings)
    mirror.down = None
    tracker.due(["a"])
    assert tracker.close(complete=True) == []
    assert mirror.written == ["a"]


@pytest.mark.parametrize("down", [ConnectionError("refused\nwith details"), RuntimeError()])
def test_a_store_that_is_down_raises_nothing_and_its_trials_are_reported(down) -> None:
    mirror, warnings = FakeMirror(), []
    mirror.down = down
    tracker = Tracker(mirror.open, warnings.append)
    tracker.due(["a", "b"])
    assert tracker.close(complete=True) == ["a", "b"]
    assert mirror.closed == []
    assert "details" not in warnings[-1]
    assert warnings[-1].endswith(("refused", "RuntimeError"))


def test_a_store_that_is_down_is_not_asked_once_for_every_trial() -> None:
    mirror = FakeMirror()
    mirror.down = ConnectionError("refused")
    slow_open = mirror.open

    def open_slowly() -> FakeMirror:
        time.sleep(0.05)
        return slow_open()

    tracker = Tracker(open_slowly, lambda warning: None)
    tracker.due([f"t{number}" for number in range(600)])
    assert len(tracker.close(complete=False)) == 600
    assert mirror.opened <= 5


def test_trials_that_a_store_missed_are_written_with_the_next_one() -> None:
    mirror, warnings = FakeMirror(), []
    mirror.down = ConnectionError("refused")
    tracker = Tracker(mirror.open, warnings.append)
    tracker.due(["a"])
    wait_until(lambda: warnings)
    mirror.down = None
    tracker.due(["b"])
    wait_until(lambda: len(mirror.written) == 2)
    assert mirror.written == ["a", "b"]
    assert tracker.close(complete=False) == []
    assert mirror.closed == [False]


def test_a_store_that_swallows_requests_is_waited_for_once(sweep, monkeypatch) -> None:
    """It is due again after each trial, but the sweep ends soon after its last one."""
    monkeypatch.setattr(store_check, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(background, "SLOW_SECONDS", 0.2)
    warnings: list[str] = []
    with silent_port() as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret-word@127.0.0.1:{port}")
        tracker = start_tracker(sweep, warnings.append)
        for name in "abc":
            tracker.due([name])
            time.sleep(0.2)
        assert tracker.close(complete=True) == ["a", "b", "c"]
    [message] = warnings
    assert "no answer within" in message
    assert "secret-word" not in message


def test_a_store_that_rejects_trials_is_asked_about_few_of_them() -> None:
    class Full(FakeMirror):
        def write(self, trial_id: str) -> None:
            self.written.append(trial_id)
            raise OSError("database or disk is full")

    mirror = Full()
    tracker = Tracker(mirror.open, lambda warning: None)
    ids = [f"t{number}" for number in range(600)]
    tracker.due(ids)
    assert sorted(tracker.close(complete=True)) == sorted(ids)
    assert len(mirror.written) <= 12


def test_a_trial_that_a_store_rejects_holds_up_no_other() -> None:
    class Choosy(FakeMirror):
        def write(self, trial_id: str) -> None:
            if trial_id.startswith("bad"):
                raise ValueError("rejected")
            super().write(trial_id)

    mirror = Choosy()
    tracker = Tracker(mirror.open, lambda warning: None)
    tracker.due(["bad1", "a", "bad2", "b", "bad3", "bad4", "c"])
    assert set(tracker.close(complete=True)) == {"bad1", "bad2", "bad3", "bad4"}
    assert mirror.written == ["a", "b", "c"]
