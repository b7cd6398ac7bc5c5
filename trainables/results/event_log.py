"""A trial's log: one JSON a line as things happen, so that it tells of a trial that was killed."""

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from trainables.storage.redaction import redact
from trainables.storage.s3_mirror import upload


def log_file(runs: Path, trial_id: str) -> Path:
    """Name the file of a trial's log."""
    return runs / "logs" / f"{trial_id}.jsonl"


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
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(redact(json.dumps(line)) + "\n")
            if event != "epoch":  # of the many, the next stage tells
                upload(self.path, self.path)
        except OSError:
            return
