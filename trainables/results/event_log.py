"""A trial's log: one line of JSON per event, written at once, so it survives a killed trial."""

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from trainables.storage.atomic import append_line
from trainables.storage.redaction import redact_values


@dataclass(frozen=True)
class TrialLog:
    """Appends events to a trial's log; a retry continues the same file."""

    path: Path

    def note(self, event: str, **message: object) -> None:
        """Append a line: time, host, event, and further fields.

        If the write fails, the line is lost and the trial continues.
        """
        line = {
            "time": round(time.time(), 3),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "event": event,
            **message,
        }
        try:
            # Not after each epoch: there are many, and the next stage uploads their lines too.
            append_line(self.path, json.dumps(redact_values(line)), to_s3=event != "epoch")
        except OSError:
            return
