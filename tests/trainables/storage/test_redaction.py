"""Secrets of the environment and of addresses are told to nobody."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.small_shards import write_shards
from orchestrator.cli.errors import InputError
from orchestrator.cli.process import run
from orchestrator.tracking.background import start_tracker
from orchestrator.tracking.mlflow_runs import Sweep
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import list_rois
from trainables.results.event_log import TrialLog
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Trial, Untuned
from trainables.storage.redaction import SECRET_VARIABLES, redact

PASSWORD = "c0rrect-h0rse"
ADDRESSES = {
    f"postgresql://lab:{PASSWORD}@host/db": "postgresql://lab:***@host/db",
    f"https://:{PASSWORD}@host:5000": "https://:***@host:5000",
    f"http://a:p@{PASSWORD}@host": "http://a:***@host",
    f"at postgresql+psycopg://lab:{PASSWORD}@[::1]/db?x=1, it": (
        "at postgresql+psycopg://lab:***@[::1]/db?x=1, it"
    ),
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_passwords_of_addresses_are_hidden(address: str) -> None:
    assert redact(address) == ADDRESSES[address]


@pytest.mark.parametrize(
    "text", ["sqlite:///mlflow.db", "s3://bucket/a:b@c", "http://host:5000/x@y", "a@b: c", "r = 3"]
)
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


@given(text=st.text(), where=st.integers(0, 5))
def test_no_secret_of_the_environment_is_left(text: str, where: int) -> None:
    name = SECRET_VARIABLES[where % len(SECRET_VARIABLES)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, PASSWORD)
        assert PASSWORD not in redact(f"{text}{PASSWORD}{text}")


def test_an_error_that_holds_a_secret_is_written_and_printed_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)
    write_shards(tmp_path / "data")
    trial = Trial(Untuned(), tuple(list_rois(DataDirectory(tmp_path / "data"))[:1]))
    message = f"no access with key {PASSWORD} to s3://bucket"
    Outcome(trial, "failed", "node-1", "cpu", 0.0, {}, error=message).write(RunDirectory(tmp_path))
    TrialLog(tmp_path / "log.jsonl").note("failed", error=message)

    def refuse() -> None:
        raise InputError(message)

    assert run(refuse) == 2
    written = [
        RunDirectory(tmp_path).outcome_file(trial.id).read_text(),
        (tmp_path / "log.jsonl").read_text(),
    ]
    for text in (*written, capsys.readouterr().err):
        assert PASSWORD not in text
        assert "no access with key *** to s3://bucket" in text
    json.loads(written[1])


@pytest.mark.timeout(60)
def test_a_store_out_of_reach_is_reported_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://lab:{PASSWORD}@127.0.0.1:9")
    warnings: list[str] = []
    write_shards(tmp_path / "data")
    tracker = start_tracker(
        Sweep("nsd", "paper", DataDirectory(tmp_path / "data"), RunDirectory(tmp_path), "0"),
        warnings.append,
    )
    tracker.due(["a"])
    tracker.close(complete=True)
    assert warnings
    assert all("lab:***@127.0.0.1:9" in one and PASSWORD not in one for one in warnings)
