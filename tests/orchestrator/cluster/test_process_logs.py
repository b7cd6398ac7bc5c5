"""Logs of workers: on standard error, once, and without secrets."""

import io
import logging
from collections.abc import Iterator

import pytest

from orchestrator.cluster import process_logs
from orchestrator.cluster.process_logs import PACKAGES, log_to_stderr


@pytest.fixture
def loggers() -> Iterator[None]:
    before = [
        (logging.getLogger(name), list(logging.getLogger(name).handlers)) for name in PACKAGES
    ]
    levels = [logger.level for logger, _ in before]
    yield
    for (logger, handlers), level in zip(before, levels, strict=True):
        logger.handlers[:], logger.propagate, logger.level = handlers, True, level


@pytest.mark.usefixtures("loggers")
def test_a_worker_logs_each_message_once_and_without_secrets(monkeypatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(process_logs.logging.sys, "stderr", written)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter22")
    log_to_stderr()
    log_to_stderr()
    logger = logging.getLogger("trainables.worker.runner")
    logger.info("trial-1: started")
    logger.debug("of no use")
    try:
        raise OSError("s3://user:s3cr3tkey@host: hunter22")
    except OSError:
        logging.getLogger("orchestrator.cluster.trial_queue").exception("trial-1: failed")
    text = written.getvalue()
    assert text.count("INFO trainables.worker.runner: trial-1: started") == 1
    assert "OSError: s3://user:***@host: ***" in text
    assert "hunter22" not in text
    assert "s3cr3tkey" not in text
    assert "of no use" not in text


def test_a_process_without_handlers_of_its_own_prints_nothing(capfd) -> None:
    for name in PACKAGES:
        logging.getLogger(f"{name}.some.module").warning("not for a command's terminal")
    assert capfd.readouterr().err == ""
