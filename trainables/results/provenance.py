"""The version of the running program."""

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def code_version() -> str:
    """Return this program's version: its git commit if there is one, else its release.

    Looked up once per process, because a worker runs the code that it started with.
    """
    here = Path(__file__).parent
    try:
        command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
        found = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10, encoding="utf-8"
        )
        return found.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        try:
            return version("cortex-sweep")
        except PackageNotFoundError:
            return "unknown"
