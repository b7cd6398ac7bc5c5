"""A trial's log: one JSON a line as things happen, so that it tells of a trial that was killed."""

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from trainables.storage.atomic import append_line
from trainables.storage.redaction import redact


@dataclass(frozen=True)
class TrialLog:
    """Appends to a trial's log; a try after a kill goes on in the same file."""

    path: Path

    def note(self, event: str, **message: object) -> None:
        """Write a line: when, where, what happened, and more about it.

        A disk that refuses it costs the line, not the trial.
        """
        line = {
            "time": round(time.time(), 3),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "event": event,
            **message,
        }
        try:
            # Epochs are many: the next stage uploads them.
            append_line(self.path, redact(json.dumps(line)), to_s3=event != "epoch")
        except OSError:
            return
