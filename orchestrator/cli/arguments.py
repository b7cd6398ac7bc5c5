"""Flags that several commands take: where files are, and how work is spread over a cluster.

Nothing here imports Ray or torch, so ``--help`` and every refusal are immediate.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainables.storage.redaction import redact
from trainables.storage.s3_mirror import is_large, place, pull


def add_resources(parser: argparse.ArgumentParser) -> "argparse._ArgumentGroup":
    """Add the flags that say how work runs; return their group, for more of them."""
    parts = add_workers(parser)
    parts.add_argument(
        "--share-gpus",
        action="store_true",
        help="let as many trials share a GPU as its memory holds by their sizes, at most 4 "
        "(default: one a GPU)",
    )
    parts.add_argument(
        "--retries", type=int, default=1, metavar="N", help="further tries of a failed trial (1)"
    )
    parts.add_argument(
        "--no-predictions",
        action="store_true",
        help="keep no predictions of test images, which scores --stats needs: 2 bytes an image "
        "and vertex",
    )
    parts.add_argument(
        "--stall-timeout",
        type=_minutes,
        metavar="MIN",
        help="minutes that a trial may go without a step that begins or an epoch that ends; then "
        "its worker is started anew, which counts as a try (default: 10 times what the whole trial "
        "should take, at least 15)",
    )
    parts.add_argument(
        "--local",
        action="store_true",
        help="run the trials in this process, one after another, without Ray, so that a debugger "
        "works; the scores are the same",
    )
    parts.add_argument("--dry-run", action="store_true", help="print the plan and leave")
    return parts


def add_workers(parser: argparse.ArgumentParser) -> "argparse._ArgumentGroup":
    """Add the flags that size a worker, and say how many there are; return their group."""
    parts = parser.add_argument_group("how it runs (none of these changes a result)")
    parts.add_argument(
        "--cpus-per-trial",
        type=positive_integer,
        default=1,
        metavar="N",
        help="CPUs of a worker, and its threads: another number may round sums otherwise (1)",
    )
    parts.add_argument(
        "--gpus-per-trial",
        type=_share_of_gpus,
        metavar="X",
        help="GPUs of a worker, also 0.5 (default: 1 where the cluster has any, else 0)",
    )
    parts.add_argument(
        "--max-concurrent",
        type=positive_integer,
        metavar="N",
        help="trials at once (default: as many as the cluster holds)",
    )
    return parts


def _share_of_gpus(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not (0 <= share <= 1 or (share > 1 and share.is_integer())):
        raise argparse.ArgumentTypeError(f"{text!r}: expected 0, a share below 1, or whole GPUs")
    return share


def _minutes(text: str) -> float:
    """Read minutes as seconds."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected minutes above 0")
    return 60 * minutes


def directory(text: str) -> Path:
    """Read a directory of a command line: a local one, or ``s3://BUCKET/PREFIX``.

    What is small there, and not here, is copied to its mirror.
    """
    try:
        path = place(text)
        pull(path, skip=is_large)
    except (ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(redact(str(error))) from error
    return path


def positive_integer(text: str) -> int:
    """Read a whole number above zero for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number above 0")
    return int(text)


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
