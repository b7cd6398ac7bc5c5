"""Which subjects, hemispheres and ROIs a command is restricted to.

Nothing here imports Ray or torch, so ``--help`` and every refusal are immediate.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.cli.errors import InputError
from trainables.spec import Roi
from trainables.spec.rois import EARLY, HEMISPHERES, HIGHER, ROI_ORDER, STREAMS


def parse_subjects(text: str) -> tuple[int, ...]:
    """Read a list of subjects such as ``1,5-8``: ascending, each once.

    Raises InputError when a part is neither a positive number nor a range.
    """
    subjects: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(f"subjects {text!r}: expected numbers and ranges such as 1,5-8")
        start, stop = int(first), int(last) if dash else int(first)
        if not 1 <= start <= stop <= 999:
            raise InputError(f"subjects {text!r}: {part.strip()!r} is no range of 1 to 999")
        subjects.update(range(start, stop + 1))
    return tuple(sorted(subjects))


def subject_number(subject: str) -> int | None:
    """Read a subject's number from its name in any data set.

    >>> subject_number("subj01"), subject_number("sub-09"), subject_number("pilot")
    (1, 9, None)
    """
    digits = re.sub(r"\D", "", subject)
    return int(digits) if digits else None


def subjects_argument(text: str) -> tuple[int, ...]:
    """Read a list of subjects for argparse: :func:`parse_subjects` with argparse's own error."""
    try:
        return parse_subjects(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


ROI_GROUPS: Final = {"early": EARLY, "higher": HIGHER, "streams": STREAMS}


@dataclass(frozen=True)
class Selection:
    """Which ROIs a sweep is restricted to; None stands for all."""

    subjects: tuple[int, ...] | None = None
    hemispheres: tuple[str, ...] = HEMISPHERES
    rois: tuple[str, ...] | None = None


def parse_rois(text: str) -> tuple[str, ...]:
    """Read a list of ROIs and groups, such as ``early,EBA``, in the order of tables.

    Raises InputError naming what is unknown.
    """
    parts = [part.strip() for part in text.split(",")]
    unknown = [part for part in parts if part not in ROI_GROUPS and part not in ROI_ORDER]
    if unknown:
        raise InputError(
            f"rois: unknown {', '.join(map(repr, unknown))}; expected early, higher, streams, "
            f"or of {', '.join(ROI_ORDER)}"
        )
    # "early" is a group and a stream's name too: as a word on the command line it is the group.
    chosen = {roi_name for part in parts for roi_name in ROI_GROUPS.get(part, (part,))}
    return tuple(roi_name for roi_name in ROI_ORDER if roi_name in chosen)


def select(rois: Sequence[Roi], selection: Selection) -> list[Roi]:
    """Keep the chosen ROIs; raise InputError, with what there is, when none is left."""
    subjects = {roi.subject: subject_number(roi.subject) for roi in rois}
    absent = sorted(set(selection.subjects or ()) - set(subjects.values()))
    if absent:
        raise InputError(
            f"subjects: {', '.join(map(str, absent))} not in the data, "
            f"which has {', '.join(sorted(subjects))}"
        )
    chosen = [
        roi
        for roi in rois
        if (selection.subjects is None or subjects[roi.subject] in selection.subjects)
        and roi.hemisphere in selection.hemispheres
        and (selection.rois is None or roi.name in selection.rois)
    ]
    if not chosen:
        raise InputError("no ROI of the data is in the chosen subjects, hemispheres and ROIs")
    return chosen


def add_rois(parser: argparse.ArgumentParser, title: str) -> None:
    """Add the flags that choose ROIs."""
    rois = parser.add_argument_group(title)
    rois.add_argument(
        "--subjects", type=subjects_argument, metavar="LIST", help="numbers such as 1,5-8"
    )
    rois.add_argument("--hemispheres", default="lh,rh", metavar="LIST", help="lh, rh or lh,rh")
    rois.add_argument(
        "--rois", metavar="LIST", help="groups early, higher, streams, and ROIs such as V1v,EBA"
    )


def read_selection(options: argparse.Namespace) -> Selection:
    """Read the chosen ROIs, and check the retries; raise InputError naming a flag to mend."""
    if options.share_gpus and options.gpus_per_trial is not None:
        raise InputError(
            f"--share-gpus --gpus-per-trial {options.gpus_per_trial:g}: --share-gpus chooses the "
            "share; give one of the two"
        )
    if options.retries < 0:
        raise InputError(f"--retries {options.retries}: expected 0 or more")
    hemispheres = tuple(part.strip() for part in options.hemispheres.split(","))
    if not set(hemispheres) <= set(HEMISPHERES):
        raise InputError(f"--hemispheres {options.hemispheres!r}: expected lh, rh or lh,rh")
    roi_names = None if options.rois is None else parse_rois(options.rois)
    return Selection(options.subjects, hemispheres, roi_names)
