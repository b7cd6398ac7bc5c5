"""Logs of the processes that Ray starts: to standard error, which Ray keeps in its worker logs."""

import logging
from typing import Final

from trainables.storage.redaction import redact

PACKAGES: Final = ("trainables", "orchestrator")
FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class RedactingFormatter(logging.Formatter):
    """Formats a record, tracebacks included, without the secrets that it may hold."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one text."""
        return redact(super().format(record))


def log_to_stderr(level: int = logging.INFO) -> None:
    """Have this program's packages log to standard error; a second call changes nothing."""
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.setLevel(level)
        if any(isinstance(one.formatter, RedactingFormatter) for one in logger.handlers):
            continue
        handler = logging.StreamHandler()
        handler.setFormatter(RedactingFormatter(FORMAT))
        logger.addHandler(handler)
        logger.propagate = False  # Ray's own handlers of the root would write it again
