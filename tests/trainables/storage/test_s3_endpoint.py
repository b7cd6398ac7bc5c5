"""An S3 that is not there: soon, with its address and the cure."""

import time
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError

from orchestrator.cli.arguments import run_directory
from orchestrator.cli.errors import InputError
from tests.builders.tcp_listeners import closed_port, silent_port
from trainables.storage import s3_mirror, s3_objects


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


OPERATIONS = {
    "exists": s3_mirror.exists,
    "remove": s3_mirror.remove,
    "pull": s3_mirror.pull,
    "pull_file": s3_mirror.pull_file,
    "upload": lambda path: s3_mirror.upload(Path(__file__), path),
    "create": lambda path: s3_mirror.create(Path(__file__), path),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_error_in_the_middle_of_any_operation_names_the_address(name, monkeypatch) -> None:
    def refuse(*about, **options):
        raise BotoCoreError

    for function in ("object_at", "create_object", "objects_below", "check_bucket"):
        monkeypatch.setattr(s3_mirror, function, refuse)
    monkeypatch.setattr(s3_objects.S3Object, "upload", refuse)
    with pytest.raises(OSError, match=r"^s3://lab/runs/a.json: .*; check that the bucket exists"):
        OPERATIONS[name](s3_mirror.place("s3://lab/runs/a.json"))


def test_both_attempts_fit_into_fifteen_seconds() -> None:
    assert 2 * (s3_objects.READ_SECONDS + 1) <= 15
    assert 2 * (s3_objects.CONNECT_SECONDS + 1) <= 15
