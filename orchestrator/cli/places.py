"""Where a command finds a sweep's files: the flags --data and --out, and what they are unset."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.cli.process import directory

DEMO: Final = Path("demo")
"""The demonstration's own directory."""
ANYWHERE: Final = "a directory or s3://…"


@dataclass(frozen=True)
class Places:
    """A sweep's directory, its shards, and whether they are the demonstration's by default."""

    runs: Path
    data: Path
    is_demo: bool


def add_runs(parser: argparse._ActionsContainer, what: str = "the sweep's directory") -> None:
    """Add --out, of a command on a sweep that is there."""
    parser.add_argument(
        "--out",
        type=directory,
        metavar="RUNS",
        help=f"{what}: {ANYWHERE} (default: runs, or demo/runs where only that exists)",
    )


def add_data(parser: argparse._ActionsContainer, what: str = "ingested shards") -> None:
    """Add --data."""
    parser.add_argument(
        "--data",
        type=directory,
        metavar="DATA",
        help=f"{what}: {ANYWHERE} (default: data, beside RUNS)",
    )


def places_of(options: argparse.Namespace) -> Places:
    """Read the flags of :func:`add_runs` and, where the command has it, :func:`add_data`."""
    runs: Path | None = options.out
    is_demo = runs is None and not Path("runs").is_dir() and (DEMO / "runs").is_dir()
    runs = runs or (DEMO / "runs" if is_demo else Path("runs"))
    return Places(runs, getattr(options, "data", None) or runs.parent / "data", is_demo)
