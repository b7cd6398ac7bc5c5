"""Logs of the processes that Ray starts, on standard error, which Ray saves in worker logs."""

import logging
from typing import Final

from trainables.storage.redaction import redact

PACKAGES: Final = ("trainables", "orchestrator")
FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class RedactingFormatter(logging.Formatter):
    """Formats log records, including tracebacks, with secrets redacted."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record and redact its secrets."""
        return redact(super().format(record))


def log_to_stderr(level: int = logging.INFO) -> None:
    """Make this program's packages log to standard error; further calls change nothing."""
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.setLevel(level)
        if any(isinstance(one.formatter, RedactingFormatter) for one in logger.handlers):
            continue
        handler = logging.StreamHandler()
        handler.setFormatter(RedactingFormatter(FORMAT))
        logger.addHandler(handler)
        logger.propagate = False  # else Ray's root handlers would write it twice
