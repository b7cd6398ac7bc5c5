"""An S3 that is not there: soon, with its address and the cure."""

import time

import pytest

from orchestrator.cli.arguments import run_directory
from orchestrator.cli.errors import InputError
from tests.builders.tcp_listeners import closed_port, silent_port
from trainables.storage import s3_objects


@pytest.fixture(autouse=True)
def keys(monkeypatch, tmp_path):
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3_objects.client.cache_clear()
    yield
    s3_objects.client.cache_clear()


def refusal(port: int) -> str:
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        run_directory("s3://nowhere-bucket/runs")
    assert time.monotonic() - start < 10
    [line] = caught.value.lines
    assert f"http://127.0.0.1:{port}" in line
    assert line.startswith("s3://nowhere-bucket/runs: ")
    assert "AWS_" in line
    return line


def test_an_endpoint_that_refuses_is_reported(monkeypatch) -> None:
    port = closed_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    assert "Could not connect" in refusal(port)


def test_an_endpoint_that_swallows_requests_is_given_up(monkeypatch) -> None:
    monkeypatch.setattr(s3_objects, "READ_SECONDS", 0.2)
    with silent_port() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        assert "timeout" in refusal(port)


def test_both_attempts_fit_into_fifteen_seconds() -> None:
    assert 2 * (s3_objects.READ_SECONDS + 1) <= 15
    assert 2 * (s3_objects.CONNECT_SECONDS + 1) <= 15
