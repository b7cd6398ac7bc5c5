"""The folder of a simulation: written once, with a record of what determines its files."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from orchestrator.ingest.simulated import RECORD
from trainables.storage.local_files import rename
from trainables.storage.temporary_files import remove_abandoned, temporary_name

FORWARD_MODEL: Final = 2
"""Version of the forward model; a folder of another one is refused."""


def require(condition: bool, message: str) -> None:
    """Raise ValueError with a message unless a condition on the settings holds."""
    if not condition:
        raise ValueError(f"simulation: {message}")


def write_once(out: Path, settings: Mapping[str, Any], write: Callable[[Path], None]) -> None:
    """Write a simulation's folder atomically, unless it exists.

    settings: recorded in the folder. Raises ValueError when out holds a simulation of other
    settings, or anything else.
    """
    asked = json.dumps({"forward_model": FORWARD_MODEL, **settings}, indent=2) + "\n"
    if _is_done(out, asked):
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(out.parent, below=False)
    partial = out.with_name(temporary_name(out.name))
    try:
        partial.mkdir()
        write(partial)
        (partial / RECORD).write_text(asked, encoding="utf-8")
        if _is_done(out, asked):
            return  # another process was first
        if out.is_dir():
            out.rmdir()
        rename(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_done(out: Path, asked: str) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    record = out / RECORD
    if not record.is_file():
        raise ValueError(
            f"{out}: expected a new or empty directory or an earlier simulation, found other "
            "files; give another --out"
        )
    if record.read_text(encoding="utf-8") == asked:
        return True
    raise ValueError(
        f"{out}: holds the simulation {_one_line(record.read_text(encoding='utf-8'))}, asked for "
        f"{_one_line(asked)}; give another --out, or remove {out}"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
