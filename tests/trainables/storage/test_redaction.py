"""Secrets of the environment and of addresses are told to nobody."""

import json
import time
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.small_shards import write_shards
from orchestrator.cli.errors import InputError
from orchestrator.cli.process import run
from orchestrator.tracking.background import start_tracker
from orchestrator.tracking.identity import Sweep
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import list_rois
from trainables.results.event_log import TrialLog
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Trial, Untuned
from trainables.storage.redaction import redact, redact_values

PASSWORD = "c0rrect-h0rse"
HIDDEN = {
    # addresses with a password, also one that has not been percent-encoded
    f"postgresql://lab:{PASSWORD}@host/db": "postgresql://lab:***@host/db",
    f"https://:{PASSWORD}@host:5000": "https://:***@host:5000",
    f"http://a:p@{PASSWORD}@host": "http://a:***@host",
    f"at postgresql+psycopg://lab:{PASSWORD}@[::1]/db?x=1, it": (
        "at postgresql+psycopg://lab:***@[::1]/db?x=1, it"
    ),
    f"postgresql://lab:c0r/{PASSWORD}@host/db": "postgresql://lab:***@host/db",
    f"http://lab:c0r/{PASSWORD}@host:5000/x": "http://lab:***@host:5000/x",
    f"postgresql://lab:1234/{PASSWORD}@host/db": "postgresql://lab:***@host/db",
    f"postgresql://lab:p?{PASSWORD}#x@host/db": "postgresql://lab:***@host/db",
    f"rediss://:{PASSWORD}@h:6379/0": "rediss://:***@h:6379/0",
    f"postgresql://a:x@h1/db,postgresql://b:{PASSWORD}@h2/db": (
        "postgresql://a:***@h1/db,postgresql://b:***@h2/db"
    ),
    "https://ghp_0123456789abcdefghij@github.com/x": "https://***@github.com/x",
    # secrets in the query of an address, and signatures
    f"postgresql://h/db?user=a&password={PASSWORD}&x=1": (
        "postgresql://h/db?user=a&password=***&x=1"
    ),
    f"https://host/x?token={PASSWORD}": "https://host/x?token=***",
    f"https://host/x?a=1&access_token={PASSWORD}#top": "https://host/x?a=1&access_token=***",
    f"https://b.s3.amazonaws.com/k?X-Amz-Signature={PASSWORD}&X-Amz-Expires=3": (
        "https://b.s3.amazonaws.com/k?X-Amz-Signature=***&X-Amz-Expires=3"
    ),
    f"https://x.blob.core.windows.net/c?sv=1&sig={PASSWORD}&se=2": (
        "https://x.blob.core.windows.net/c?sv=1&sig=***&se=2"
    ),
    # percent-encoded in another address
    f"uri=postgresql%3A%2F%2Flab%3A{PASSWORD}%40host%2Fdb": (
        "uri=postgresql%3A%2F%2Flab%3A***%40host%2Fdb"
    ),
    f"next=x%3Ftoken%3D{PASSWORD}": "next=x%3Ftoken%3D***",
    # headers
    f"Authorization: Bearer {PASSWORD}": "Authorization: Bearer ***",
    f"{{'Authorization': 'Basic {PASSWORD}=', 'a': 1}}": "{'Authorization': '***', 'a': 1}",
    f"authorization: AWS4-HMAC-SHA256 Credential=AKI/2026, Signature={PASSWORD}": (
        "authorization: *** Credential=***, Signature=***"
    ),
    f"curl -H 'X-Api-Key: {PASSWORD}'": "curl -H 'X-Api-Key: ***'",
    f"sent bearer {PASSWORD}": "sent bearer ***",
    # named values
    f"host=h password='c0 {PASSWORD}' user=u": "host=h password=*** user=u",
    f"export PGPASSWORD={PASSWORD}; x": "export PGPASSWORD=***; x",
    f"aws_secret_access_key = {PASSWORD}": "aws_secret_access_key = ***",
    f"{{'password': '{PASSWORD}', 'user': 'u'}}": "{'password': '***', 'user': 'u'}",
    f'{{"token": "{PASSWORD}"}}': '{"token": "***"}',
    f"DefaultEndpointsProtocol=https;AccountKey={PASSWORD}==;x": (
        "DefaultEndpointsProtocol=https;AccountKey=***;x"
    ),
    "hf_0123456789abcdefghij": "***",
}
KEPT = (
    "sqlite:///mlflow.db",
    "s3://bucket/a:b@c",
    "http://host:5000/x@y",
    "http://127.0.0.1:8265",
    "https://host:443?x=a@b",
    "ray://head:10001",
    "postgresql://lab@host:5432/db",
    "ssh://git@github.com",
    "file:///a:b/c@d",
    "a@b: c",
    "r = 3",
    "no password was given; token: see the documentation",
    "seed=3 n_tokens=5 key=value",
)


@pytest.mark.parametrize("text", HIDDEN)
def test_secrets_in_text_are_hidden_and_the_rest_is_kept(text: str) -> None:
    hidden = redact(text)
    assert hidden == HIDDEN[text]
    assert redact(hidden) == hidden


def test_every_text_of_a_nested_value_is_hidden() -> None:
    secret, hidden = f"https://:{PASSWORD}@host", "https://:***@host"
    value = {"a": [secret, 3, (secret, None)], "b": {"c": secret, "d": True}}
    assert redact_values(value) == {"a": [hidden, 3, [hidden, None]], "b": {"c": hidden, "d": True}}


@pytest.mark.parametrize("text", KEPT)
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("AWS_SECRET_ACCESS_KEY", True),
        ("AWS_SESSION_TOKEN", True),
        ("MLFLOW_TRACKING_PASSWORD", True),
        ("PGPASSWORD", True),
        ("RAY_AUTH_TOKEN", True),
        ("HF_TOKEN", True),
        ("WANDB_API_KEY", True),
        ("MYSQL_PWD", True),
        ("github_token", True),
        ("PWD", False),
        ("OLDPWD", False),
        ("AWS_ACCESS_KEY_ID", False),
        ("RAY_AUTH_MODE", False),
        ("TOKENIZERS_PARALLELISM", False),
    ],
)
def test_environment_variables_with_the_name_of_a_secret_are_hidden(
    monkeypatch: pytest.MonkeyPatch, name: str, is_secret: bool
) -> None:
    monkeypatch.setenv(name, PASSWORD)
    assert redact(f"no access with {PASSWORD}") == (
        "no access with ***" if is_secret else f"no access with {PASSWORD}"
    )


@settings(max_examples=50)
@given(
    value=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=6),
    where=st.sampled_from(["{}", "x{}y", "a={}&b"]),
)
def test_a_secret_of_the_environment_is_hidden_however_it_is_encoded(
    value: str, where: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", value)
        for form in (value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]):
            assert form not in redact(where.format(form))


def test_long_text_takes_no_time() -> None:
    start = time.process_time()
    for part in ("a.", "x", "://a:", "token", "'password': '", "%3A%2F%2F", "a.b-c "):
        redact(part * (20_000 // len(part)))
    assert time.process_time() - start < 5


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
