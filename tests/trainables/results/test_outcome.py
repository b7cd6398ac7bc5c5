"""Outcomes: read back as they were written, and refused when damaged."""

import json
import os
from dataclasses import replace

import pytest

from trainables.exceptions import Failure
from trainables.results.epoch_report import EpochReport
from trainables.results.outcome import (
    Outcome,
    failed,
    read_ended,
    read_finished,
    write_failure,
)
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Encoding, Roi, Trial

ROI = Roi("nsd", "subj01", "lh", "V1v", 4, "0123abcd")
LAYERS = ("features.2", "classifier.5")
ENCODING = Encoding(layers=LAYERS, protocols=("nested", "paper"))
TRIAL = Trial(Contrastive(), (ROI,), encoding=ENCODING)
OUTCOME = Outcome(
    TRIAL,
    "finished",
    "node-1",
    "cpu",
    1700000000.0,
    {"reading": 1.5, "encoding": 2.0},
    (EpochReport(1, 2.0, 3.0, 100.0, 0.25, 4.0), EpochReport(2, 1.0, 3.0, 100.0)),
)


def test_an_outcome_comes_back_as_it_was_written(tmp_path) -> None:
    OUTCOME.write(RunDirectory(tmp_path))
    assert Outcome.read(RunDirectory(tmp_path), TRIAL.id) == OUTCOME


def test_a_failed_outcome_keeps_its_error(tmp_path) -> None:
    outcome = replace(OUTCOME, status="failed", history=(), error="Traceback …\nValueError: no")
    outcome.write(RunDirectory(tmp_path))
    assert Outcome.read(RunDirectory(tmp_path), TRIAL.id) == outcome


def test_the_outcome_of_a_failure_has_its_kind_and_nothing_of_a_finished_trial() -> None:
    outcome = failed(TRIAL, Failure("disk-full", "no space"))
    assert (outcome.status, outcome.error_kind, outcome.error) == (
        "failed",
        "disk-full",
        "no space",
    )
    assert (outcome.host, outcome.device, outcome.seconds, outcome.history) == ("", "", {}, ())


@pytest.mark.parametrize("status", [None, "failed", "stopped", "finished"])
def test_a_failure_replaces_no_outcome_that_is_better(tmp_path, status) -> None:
    runs, failure = RunDirectory(tmp_path), Failure("worker-lost", "gone")
    before = None
    if status is not None:
        before = replace(OUTCOME, status=status, error="no" if status == "failed" else None)
        before.write(runs)
    is_written = status in (None, "failed")
    assert write_failure(runs, TRIAL, failure) == is_written
    found = Outcome.read(runs, TRIAL.id)
    assert found is not None
    assert found.error == "gone" if is_written else found == before


@pytest.mark.parametrize("status", ["failed", "stopped", "finished"])
def test_a_failed_trial_and_one_that_lacks_scores_have_not_ended(tmp_path, status) -> None:
    """Where nothing is to be scored, a finished trial has all its scores."""
    runs, bare = RunDirectory(tmp_path), Trial(Contrastive(), (ROI,), encoding=None)
    for trial in (TRIAL, bare):
        replace(OUTCOME, trial=trial, status=status).write(runs)
    assert (read_ended(runs, TRIAL) is not None) == (status == "stopped")
    assert (read_ended(runs, bare) is not None) == (status != "failed")
    assert len(list(read_finished(runs))) == (2 if status == "finished" else 0)


def test_an_outcome_can_be_read_by_a_person_with_its_ids(tmp_path) -> None:
    OUTCOME.write(RunDirectory(tmp_path))
    content = json.loads(RunDirectory(tmp_path).outcome_file(TRIAL.id).read_text())
    assert content["trial_id"] == TRIAL.id
    assert content["training_id"] == TRIAL.training_id
    assert content["trial"]["objective"]["method"] == "contrastive"


def test_a_trial_that_has_not_ended_has_no_outcome(tmp_path) -> None:
    assert Outcome.read(RunDirectory(tmp_path), TRIAL.id) is None


def altered(**changes: object) -> str:
    content = json.loads(json.dumps({"trial": json.loads(TRIAL.to_json())} | OUTCOME_FIELDS))
    return json.dumps(content | changes)


OUTCOME_FIELDS = {
    "status": "finished",
    "host": "a",
    "device": "cpu",
    "started": 1.0,
    "seconds": {"reading": 1.0},
    "history": [],
    "error": None,
    "trial_id": TRIAL.id,
    "training_id": TRIAL.training_id,
}


def test_an_outcome_s_fields_are_read(tmp_path) -> None:
    OUTCOME.write(RunDirectory(tmp_path))
    RunDirectory(tmp_path).outcome_file(TRIAL.id).write_text(altered())
    assert Outcome.read(RunDirectory(tmp_path), TRIAL.id) == Outcome(
        TRIAL, "finished", "a", "cpu", 1.0, {"reading": 1.0}
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON .recursion limit exceeded"),
        ("null", "expected an object, found None"),
        ("[]", "expected an object, found"),
        ("3", "expected an object, found 3"),
        ("{}", "trial: missing"),
        ('{"history": [], "trial": {}}', "trial.objective: missing"),
        (altered(started=[1]), r"started: expected a number, found \[1\]"),
        (altered(started="now"), "started: expected a number, found 'now'"),
        (altered(started=1e18), "started: expected a value below .*, found 1e[+]18"),
        (altered(seconds={"reading": "1"}), "seconds.reading: expected a number, found '1'"),
        (altered(status="done"), "status: expected 'finished', 'failed' or 'stopped'"),
        (altered(history=[{"epoch": 1}]), r"history\[0\].loss: missing"),
        (altered(history=3), "history: expected a list, found 3"),
        (altered(trial_id="another"), "trial_id: expected 'contrastive-.*, found 'another'"),
        (altered(trial=[]), "trial: expected one of Trial, Evaluation, found"),
        (
            altered(trial=json.loads(TRIAL.to_json()) | {"seed": "seven"}),
            "trial.seed: expected an integer, found 'seven'",
        ),
    ],
)
def test_a_damaged_outcome_is_refused_by_name(tmp_path, content, message) -> None:
    OUTCOME.write(RunDirectory(tmp_path))
    path = RunDirectory(tmp_path).outcome_file(TRIAL.id)
    path.write_text(content)
    with pytest.raises(ValueError, match=f"{path.name}: {message}.*; remove it$") as refusal:
        Outcome.read(RunDirectory(tmp_path), TRIAL.id)
    assert "\n" not in str(refusal.value)


def test_an_error_that_names_a_file_of_no_unicode_is_read_back(tmp_path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    failed(TRIAL, Failure("input", f"OSError: {name}")).write(RunDirectory(tmp_path))
    assert Outcome.read(RunDirectory(tmp_path), TRIAL.id).error == r"OSError: caf\udce9.png"


def test_an_outcome_of_binary_rubbish_is_refused_by_name(tmp_path) -> None:
    OUTCOME.write(RunDirectory(tmp_path))
    path = RunDirectory(tmp_path).outcome_file(TRIAL.id)
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ValueError, match=path.name):
        Outcome.read(RunDirectory(tmp_path), TRIAL.id)
