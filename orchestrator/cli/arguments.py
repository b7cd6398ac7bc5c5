"""Flags that several commands take: which cells, and how work is spread over a cluster.

Nothing here imports Ray or torch, so ``--help`` and every refusal are immediate.
"""

import argparse
import math
from typing import TYPE_CHECKING

from orchestrator.cli.process import InputError, positive_integer, subjects_argument

if TYPE_CHECKING:
    from orchestrator.execution.plan import Selection


def add_cells(parser: argparse.ArgumentParser, title: str) -> None:
    """Add the flags that choose cells."""
    cells = parser.add_argument_group(title)
    cells.add_argument(
        "--subjects", type=subjects_argument, metavar="LIST", help="numbers such as 1,5-8"
    )
    cells.add_argument("--hemispheres", default="lh,rh", metavar="LIST", help="lh, rh or lh,rh")
    cells.add_argument(
        "--rois", metavar="LIST", help="groups early, higher, streams, and ROIs such as V1v,EBA"
    )


def add_resources(parser: argparse.ArgumentParser) -> "argparse._ArgumentGroup":
    """Add the flags that say how work runs; return their group, for more of them."""
    parts = add_workers(parser)
    parts.add_argument(
        "--pack",
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
        "--patience",
        type=_minutes,
        metavar="MIN",
        help="minutes that a trial may go without a step that begins or an epoch that ends; then "
        "its worker is started anew, which counts as a try (default: 10 times what the whole trial "
        "should take, at least 15)",
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


def read_selection(options: argparse.Namespace) -> "Selection":
    """Read the chosen cells, and check the retries; raise InputError naming a flag to mend."""
    from orchestrator.execution.plan import Selection, parse_rois
    from trainables.spec.rois import HEMISPHERES

    if options.pack and options.gpus_per_trial is not None:
        raise InputError(
            f"--pack --gpus-per-trial {options.gpus_per_trial:g}: packing chooses the share; give "
            "one of the two"
        )
    if options.retries < 0:
        raise InputError(f"--retries {options.retries}: expected 0 or more")
    hemispheres = tuple(part.strip() for part in options.hemispheres.split(","))
    if not set(hemispheres) <= set(HEMISPHERES):
        raise InputError(f"--hemispheres {options.hemispheres!r}: expected lh, rh or lh,rh")
    rois = None if options.rois is None else parse_rois(options.rois)
    return Selection(options.subjects, hemispheres, rois)
