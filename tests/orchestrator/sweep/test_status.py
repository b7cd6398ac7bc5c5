"""Status, retry and cancel: what they read, what they say, and what they refuse."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from orchestrator.execution import lock_owner
from orchestrator.execution.lock_owner import LockOwner
from orchestrator.execution.run_lock import acquire
from orchestrator.execution.run_record import Command, Publisher, state_of
from orchestrator.sweep import __main__ as sweep
from orchestrator.sweep.settings import SweepSettings
from tests.builders.small_scores import ENCODING, roi
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import SCORE_SCHEMA, describe_scores
from trainables.spec import Contrastive, Trial
from trainables.storage.atomic import write_parquet

TRIALS = [
    Trial(Contrastive(), (roi(roi_name),), encoding=ENCODING)
    for roi_name in ("V1v", "V2v", "V3v", "hV4")
]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A sweep begun 100 s ago: one trial was done before, one since, one has failed since."""
    runs = tmp_path / "runs"
    command(time.time() - 100, tmp_path).write(RunDirectory(runs))
    Outcome(TRIALS[0], "finished", "a", "cpu", time.time() - 900, {"reading": 1.0}).write(
        RunDirectory(runs)
    )
    Outcome(TRIALS[1], "finished", "a", "cpu", time.time() - 90, {"reading": 30.0}).write(
        RunDirectory(runs)
    )
    for trial in TRIALS[:2]:
        score(runs, trial)
    error = "Traceback\n  …\nValueError: no room"
    Outcome(TRIALS[2], "failed", "a", "cpu", time.time() - 50, {}, error=error).write(
        RunDirectory(runs)
    )
    return runs


def score(runs: Path, trial: Trial) -> None:
    """Write a trial's score files, without rows."""
    table = SCORE_SCHEMA.empty_table().replace_schema_metadata(describe_scores(trial, "1"))
    for scored in trial.rois:
        write_parquet(RunDirectory(runs).score_file(trial.id, scored.id), table)


def command(started: float, home: Path) -> Command:
    ids = [trial.id for trial in TRIALS]
    costs = {ids[1]: 10.0, ids[2]: 10.0, ids[3]: 40.0}
    arguments = ("space.py", "--out", "runs")
    return Command(
        "orchestrator.sweep",
        arguments,
        str(home),
        started,
        "trials",
        tuple(ids),
        costs,
        {ids[3]: 30},
    )


def status(runs: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert sweep.main(["status", "--out", str(runs)]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_the_state_is_read_from_outcomes(runs: Path) -> None:
    found = Command.read(RunDirectory(runs))
    state = state_of(found, RunDirectory(runs))
    assert state.done == (TRIALS[0].id, TRIALS[1].id)
    assert state.failed == {TRIALS[2].id: "ValueError: no room"}
    assert state.left == (TRIALS[3].id,)
    assert state.ended == 2


def test_a_failure_of_an_earlier_command_is_to_be_tried_again(runs: Path) -> None:
    outcome = Outcome.read(RunDirectory(runs), TRIALS[2].id)
    assert outcome is not None
    later = replace(
        Command.read(RunDirectory(runs)),
        started=time.time(),
        earlier={TRIALS[2].id: outcome.started},
    )
    state = state_of(later, RunDirectory(runs))
    assert state.failed == {}
    assert state.left == (TRIALS[2].id, TRIALS[3].id)
    assert state.ended == 1


def test_a_finished_trial_whose_scores_were_removed_or_damaged_is_left(runs: Path) -> None:
    found = Command.read(RunDirectory(runs))
    removed, damaged = (
        RunDirectory(runs).score_file(trial.id, trial.rois[0].id) for trial in TRIALS[:2]
    )
    removed.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-9])
    state = state_of(found, RunDirectory(runs))
    assert state.done == ()
    assert state.left == (TRIALS[0].id, TRIALS[1].id, TRIALS[3].id)


def test_a_finished_trial_with_further_rois_to_score_is_left_until_it_has_a_new_outcome(
    runs: Path,
) -> None:
    outcome = Outcome.read(RunDirectory(runs), TRIALS[1].id)
    assert outcome is not None
    again = replace(Command.read(RunDirectory(runs)), earlier={outcome.trial.id: outcome.started})
    assert outcome.trial.id in state_of(again, RunDirectory(runs)).left
    an_hour_behind = replace(outcome, started=outcome.started - 3600)  # the clock of its worker
    an_hour_behind.write(RunDirectory(runs))
    assert outcome.trial.id in state_of(again, RunDirectory(runs)).done


def test_status_of_a_sweep_that_runs(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_100_seconds = Command.read(RunDirectory(runs)).started + 100
    monkeypatch.setattr(time, "time", lambda: at_100_seconds)
    at = {"trial_id": TRIALS[3].id, "stage": "finetuning", "epoch": 7, "images_per_second": 321.4}
    with acquire(RunDirectory(runs), "sweep paper"):
        Publisher(RunDirectory(runs))([at], 200.0)
        shown = status(runs, capsys)
    assert "running: sweep paper, process " in shown
    assert "2 of 4 trials done, 1 running, 1 failed, 0 waiting" in shown
    assert "2 in 100 s" not in shown  # durations are for people
    assert "2 in 2 min (72 an hour), about 3 min left" in shown
    assert "finetuning 7/30 321" in shown
    assert f"failed: {TRIALS[2].id}: ValueError: no room" in shown


def test_status_of_a_sweep_that_has_ended_or_died(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nothing is running" in status(runs, capsys)
    dead = replace(LockOwner.this_process("sweep paper"), born="1")
    RunDirectory(runs).lock_file(1).write_text(json.dumps(asdict(dead)))
    shown = status(runs, capsys)
    assert "died: sweep paper" in shown
    assert "0 running, 1 failed, 1 waiting" in shown
    assert f"resume with: python -m orchestrator.sweep retry --out {runs}" in shown


@pytest.mark.parametrize("action", ["status", "retry", "cancel"])
def test_without_a_sweep_each_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    assert sweep.main([action, "--out", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / 'none'}: no")
    assert error.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_a_damaged_record_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunDirectory(runs).command_file.write_text("[]")
    assert sweep.main(["status", "--out", str(runs)]) == 2
    assert "command.json: expected an object" in capsys.readouterr().err


DEEP = "[" * 100_000
FAR = 1e18
"""A date in the far future, in seconds since 1970."""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"started": "now"}, "started: expected a number, found 'now'"),
        ({"started": [1]}, "started: expected a number, found [1]"),
        ({"started": FAR}, "started: expected a value below"),
        ({"trials": 3}, "trials: expected a list, found 3"),
        ({"costs": {"a": "1"}}, "costs.a: expected a number, found '1'"),
        ({"costs": {"a": 1e300}}, "costs.a: expected a value of at most"),
        ({"epochs": {"a": 2.5}}, "epochs.a: expected an integer, found 2.5"),
        ({"module": "antigravity"}, "module: expected one of"),
        ({"when": 1}, "unknown keys ['when']; expected module, arguments"),
    ],
)
def test_a_record_of_another_kind_is_refused_in_one_line(
    runs: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], message: str
) -> None:
    path = RunDirectory(runs).command_file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    for action in ("status", "retry"):
        assert sweep.main([action, "--out", str(runs)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {path}: {message}")
        assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["operation/command.json", "operation/running.json", "trial"])
@pytest.mark.parametrize("content", [DEEP, "{", '{"a": 1}', "[1]", "null", '{"written": "x"}'])
def test_files_of_anything_else_are_refused_in_one_line(
    runs: Path, capsys: pytest.CaptureFixture[str], name: str, content: str
) -> None:
    path = runs / (f"trials/{TRIALS[0].id}.json" if name == "trial" else name)
    with acquire(RunDirectory(runs), "sweep paper"):
        path.write_text(content)
        assert sweep.main(["status", "--out", str(runs)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: ")
    assert error.count("\n") == 1


def test_a_run_lock_from_the_far_future_is_shown(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_owner, "EXPIRES", 0.0)
    odd = replace(LockOwner.this_process("sweep paper"), since=FAR, renewed=FAR)
    RunDirectory(runs).lock_file(1).write_text(json.dumps(asdict(odd)))
    assert "running: sweep paper" in status(runs, capsys)
    other = replace(odd, machine="another")
    RunDirectory(runs).lock_file(1).write_text(json.dumps(asdict(other)))
    assert "died: sweep paper" in status(runs, capsys)


@pytest.mark.parametrize("hours", [2, -2])
def test_a_dead_owner_of_another_clock_is_found_by_status_and_cancel(
    runs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    hours: float,
) -> None:
    monkeypatch.setattr(lock_owner, "EXPIRES", 0.05)
    monkeypatch.setattr(lock_owner, "OBSERVE", 0.01)
    now = time.time() + 3600 * hours
    owner = LockOwner.this_process("sweep paper")
    dead = replace(owner, machine="another", host="node-7", since=now, renewed=now)
    RunDirectory(runs).lock_file(1).write_text(json.dumps(asdict(dead)))
    shown = status(runs, capsys)
    assert "waiting up to 25 s for a sign of life from node-7" in shown
    assert "died: sweep paper" in shown
    assert "by its clock" in shown
    assert sweep.main(["cancel", "--out", str(runs)]) == 2
    assert "nothing is running here" in capsys.readouterr().err


def test_cancel_finds_that_an_owner_of_another_machine_has_died_meanwhile(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_owner, "EXPIRES", 0.05)
    monkeypatch.setattr("orchestrator.sweep.status.is_alive", lambda runs, path: True)
    other = replace(LockOwner.this_process("sweep paper"), machine="another", renewed=FAR)
    RunDirectory(runs).lock_file(1).write_text(json.dumps(asdict(other)))
    assert sweep.main(["cancel", "--out", str(runs)]) == 0
    assert "ended: sweep paper" in capsys.readouterr().out


@pytest.mark.parametrize("only_failed", [True, False])
def test_retry_starts_the_command_as_it_was(
    runs: Path, monkeypatch: pytest.MonkeyPatch, only_failed: bool
) -> None:
    (runs.parent / "space.py").write_text("def trials(rois):\n    return []\n")
    given: list[tuple[SweepSettings, Path]] = []
    monkeypatch.setattr(
        "orchestrator.sweep.run.sweep", lambda settings, _: given.append((settings, Path.cwd()))
    )
    monkeypatch.chdir(runs)
    assert sweep.main(["retry", "--out", str(runs), *(["--failed"] if only_failed else [])]) == 0
    [(settings, where)] = given
    started = settings.run.started
    assert started.module == "orchestrator.sweep"
    assert started.arguments == ("space.py", "--out", "runs")
    assert started.only == (frozenset({TRIALS[2].id}) if only_failed else None)
    assert where == runs.parent


def test_retry_where_all_is_done_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for trial in TRIALS:
        Outcome(trial, "finished", "a", "cpu", time.time(), {}).write(RunDirectory(runs))
        score(runs, trial)
    assert sweep.main(["retry", "--failed", "--out", str(runs)]) == 2
    assert "no trial has failed" in capsys.readouterr().err
