"""MLflow's store that is not there or can't be written: soon, and with the cure."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.tracking import store_check
from orchestrator.tracking.mlflow_store import StoreError
from orchestrator.tracking.store_check import ANSWER_SECONDS, check_store
from tests.builders.tcp_listeners import HTML, answering_port, closed_port, http, silent_port

CURE = "set MLFLOW_TRACKING_URI to another store"


@pytest.fixture(autouse=True)
def short(monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "2")
    monkeypatch.setattr(store_check, "LOCK_SECONDS", 0.1)


def refusal(uri: str, seconds: float = 10.0) -> str:
    start = time.monotonic()
    with pytest.raises(StoreError) as caught:
        check_store(uri, seconds)
    assert time.monotonic() - start < seconds + 5
    assert ANSWER_SECONDS <= 15
    message = str(caught.value)
    assert "\n" not in message
    assert CURE in message
    return message


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_is_down_is_refused(scheme) -> None:
    assert refusal(f"{scheme}://127.0.0.1:{closed_port()}/db").startswith("connection refused")


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_swallows_requests_is_given_up(scheme) -> None:
    with silent_port() as port:
        assert refusal(f"{scheme}://127.0.0.1:{port}/db", 0.3).startswith("no answer within")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (HTML, "what answers is not MLflow"),
        (http("500 Internal Server Error", "oops"), "the server answers with errors"),
        (http("401 Unauthorized", "You are not authenticated."), "not authenticated: set MLFLOW_"),
        (http("404 Not Found", "{}"), ""),
        (b"SSH-2.0-OpenSSH_9\r\n", ""),
    ],
)
def test_something_else_that_answers_is_named(answer, why) -> None:
    with answering_port(answer) as port:
        assert refusal(f"http://127.0.0.1:{port}").startswith(why)


@pytest.mark.parametrize("uri", ["nonsense://there", "http://[::1"])
def test_an_address_that_is_none_is_one_line(uri) -> None:
    refusal(uri)


def test_a_database_is_left_as_it_was(tmp_path) -> None:
    path = tmp_path / "mlflow.db"
    check_store(f"sqlite:///{path}?timeout=5")
    assert list(tmp_path.iterdir()) == []
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE runs (name TEXT)")
    before = path.read_bytes()
    check_store(f"sqlite:///{path}")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["/proc/mlflow.db", "/proc/1/none/mlflow.db"])
def test_a_database_that_can_t_be_made_is_refused(place) -> None:
    assert refusal(f"sqlite:///{place}").startswith(f"{place} can't be written")


def test_what_is_no_database_or_is_locked_or_read_only_is_refused(tmp_path, monkeypatch) -> None:
    text = tmp_path / "text.db"
    text.write_text("no database" * 100, encoding="utf-8")
    assert "not a database" in refusal(f"sqlite:///{text}")
    assert "can't be written" in refusal(f"sqlite:///{tmp_path}")
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE runs (name TEXT)")
        database.execute("BEGIN EXCLUSIVE")
        assert "locked" in refusal(f"sqlite:///{path}")
    check_store(f"sqlite:///{path}")
    monkeypatch.setattr(store_check.os, "access", lambda file, mode: Path(file) != path)
    assert "read-only" in refusal(f"sqlite:///{path}")
