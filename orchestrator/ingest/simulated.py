"""The record that marks a simulated source, so that nothing made from it passes for measured."""

from pathlib import Path
from typing import Final

RECORD: Final = "simulation.json"
"""The file of a simulated source that holds the settings of its simulation."""


def is_simulated(source: Path) -> bool:
    """Return whether a source was written by ``ingest simulate``."""
    return (source / RECORD).is_file()
