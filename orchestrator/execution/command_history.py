"""The commands of a run directory, for the report: ``operation/commands.json``, without secrets."""

import json
from contextlib import suppress
from dataclasses import asdict
from typing import Final

from trainables.results.run_directory import RunDirectory
from trainables.spec.fields import Text
from trainables.spec.records import read_record, record
from trainables.storage.atomic import write_text
from trainables.storage.redaction import redact

KEPT: Final = 100
"""Most lines that are kept; the first ones are dropped."""


@record
class History:
    """Command lines, each once, in the order in which they were first run."""

    lines: tuple[Text, ...] = ()


def read_history(runs: RunDirectory) -> tuple[str, ...]:
    """Read the command lines of the sweeps and evaluations of a directory; none if it has none.

    Raises ValueError if the file is damaged.
    """
    try:
        return read_record(runs.history_file, History, "remove it").lines
    except FileNotFoundError:
        return ()


def remember(runs: RunDirectory, line: str) -> None:
    """Add a command line, with secrets redacted, unless it is there; replace a damaged file."""
    earlier: tuple[str, ...] = ()
    with suppress(ValueError):
        earlier = read_history(runs)
    kept = redact(line)
    if kept and kept not in earlier:
        content = History((*earlier, kept)[-KEPT:])
        write_text(runs.history_file, json.dumps(asdict(content), indent=1) + "\n")
