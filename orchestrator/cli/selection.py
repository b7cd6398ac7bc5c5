"""The subjects, hemispheres and ROIs that a command is restricted to.

Nothing here imports Ray or torch, nor specs of trials before they are needed, so ``--help`` and
input errors are immediate.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Group, Parameter

from orchestrator.cli.arguments import read_with, split_list
from orchestrator.cli.errors import InputError
from orchestrator.cli.values import integer, shortened
from trainables.wording import meant, similar, some

if TYPE_CHECKING:
    from trainables.spec import Roi


MOST_SUBJECT: Final = 999
"""The highest number of a subject."""
MOST_LISTED: Final = 40
"""ROIs that an error names: all of NSD's and NOD's, not all of a whole atlas."""
_RANGE: Final = re.compile(
    r"(?:(?:subject|subj|sub|s)[-_ ]?)?([0-9]+)"
    r"(?:\s*-\s*(?:(?:subject|subj|sub|s)[-_ ]?)?([0-9]+))?",
    re.IGNORECASE,
)
"""A subject or a range of subjects, by number or by name in any data set."""


def parse_subjects(text: str) -> tuple[int, ...]:
    """Parse a list of subjects such as ``1,5-8``; return them ascending, without duplicates.

    Names are numbers too: ``subj01``, ``sub-09``, ``sub-01-sub-03``. Raises InputError if a part is
    neither a positive number nor a range.
    """
    subjects: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise InputError(
                f"{shortened(text)}: expected numbers and ranges such as 1,5-8, or names such as "
                f"subj01{_subject_meant(part)}"
            )
        first, last = match[1], match[2] or match[1]
        start, stop = integer(first, 1, MOST_SUBJECT), integer(last, 1, MOST_SUBJECT)
        if start is None or stop is None or start > stop:
            raise InputError(
                f"{shortened(text)}: {shortened(part.strip())} is not a range within "
                f"1 to {MOST_SUBJECT}"
            )
        subjects.update(range(start, stop + 1))
    return tuple(sorted(subjects))


def _subject_meant(part: str) -> str:
    """Ask for the subject whose number is the only one in a word."""
    numbers = re.findall("[0-9]+", part)
    is_subject = len(numbers) == 1 and len(numbers[0]) <= len(str(MOST_SUBJECT))
    return f"; did you mean 'subj{int(numbers[0]):02d}'?" if is_subject else ""


def subject_number(subject: str) -> int | None:
    """Return the number in a subject's name in any data set, or None.

    >>> subject_number("subj01"), subject_number("sub-09"), subject_number("pilot")
    (1, 9, None)
    """
    digits = re.sub(r"\D", "", subject)
    return int(digits) if digits else None


Subjects = Annotated[tuple[int, ...], read_with(parse_subjects, "LIST")]


@dataclass(frozen=True)
class Selection:
    """The ROIs that a sweep is restricted to; None means all but whole hemispheres and atlases."""

    subjects: tuple[int, ...] | None = None
    hemispheres: tuple[str, ...] | None = None
    rois: tuple[str, ...] | None = None


def parse_rois(text: str) -> tuple[str, ...]:
    """Parse a list of ROIs and ROI groups such as ``early,EBA``; return ROIs in tables' order.

    ROIs of a data set of one's own follow, in the order of the list: `require_known_rois` refuses
    those that the data lacks. Raises InputError for what is no name.
    """
    from trainables.spec.fields import is_name
    from trainables.spec.rois import EARLY, HIGHER, ROI_ORDER, STREAMS

    groups = {"early": EARLY, "higher": HIGHER, "streams": STREAMS}
    parts = split_list(text)
    require_known_rois([part for part in parts if not is_name(part)], ROI_ORDER)
    # "early" names a group and a stream; on the command line it means the group.
    chosen = dict.fromkeys(roi_name for part in parts for roi_name in groups.get(part, (part,)))
    known = [roi_name for roi_name in ROI_ORDER if roi_name in chosen]
    return (*known, *(roi_name for roi_name in chosen if roi_name not in known))


def require_known_rois(chosen: Sequence[str], present: Iterable[str]) -> None:
    """Raise InputError for a name that is neither an ROI of NSD or NOD nor among those present.

    An atlas with ROIs among those present is known too.
    """
    from trainables.spec.rois import ROI_ORDER, atlas_of

    there = list(dict.fromkeys(present))
    atlases = {atlas_of(name) for name in there}
    known = {*ROI_ORDER, *there, *atlases}
    unknown = [name for name in chosen if name not in known]
    if unknown:
        expected = ("early", "higher", "streams", *there)
        more = " …" if len(there) > MOST_LISTED else ""
        raise InputError(
            f"--rois: unknown {', '.join(map(repr, unknown))}; expected early, higher, streams, "
            f"or any of {', '.join(there[:MOST_LISTED])}{more}"
            f"{meant(unknown[0], (*expected, *ROI_ORDER))}"
        )


def resolve_rois(chosen: Sequence[str], present: Iterable[str]) -> tuple[str, ...]:
    """Return the chosen ROIs, in place of each atlas its ROIs among those present.

    Raises InputError as `require_known_rois`.
    """
    from trainables.spec.rois import atlas_of

    there = list(dict.fromkeys(present))
    require_known_rois(chosen, there)
    several = {name: [one for one in there if atlas_of(one) == name] or [name] for name in chosen}
    return tuple(dict.fromkeys(one for found in several.values() for one in found))


def number_meant(number: int, subjects: Iterable[str]) -> str:
    """Ask for the subject whose number is most like one that is not there; empty for none."""
    names = {str(subject_number(name)): name for name in subjects}
    found = similar(str(number), names)
    return f"; did you mean {names[found]!r}?" if found else ""


def select(rois: "Sequence[Roi]", selection: Selection, *, whole: bool = False) -> "list[Roi]":
    """Return the selected ROIs; raise InputError listing what exists if none is left.

    Where no ROIs are named, those of whole hemispheres and of atlases are left out; atlases are
    kept for subjects that have nothing else. whole: keep whole hemispheres.
    """
    subjects = {roi.subject: subject_number(roi.subject) for roi in rois}
    absent = sorted(set(selection.subjects or ()) - set(subjects.values()))
    if absent:
        raise InputError(
            f"--subjects: {', '.join(map(str, absent))} not in the data, "
            f"which has {', '.join(sorted(subjects))}{number_meant(absent[0], subjects)}"
        )
    if selection.rois is None:
        wanted = _usual(rois, whole=whole)
    else:
        known = set(resolve_rois(selection.rois, [roi.name for roi in rois]))
        wanted = {roi for roi in rois if roi.name in known}
    chosen = [
        roi
        for roi in rois
        if (selection.subjects is None or subjects[roi.subject] in selection.subjects)
        and (selection.hemispheres is None or roi.hemisphere in selection.hemispheres)
        and roi in wanted
    ]
    if not chosen:
        sides = ", ".join(sorted({roi.hemisphere for roi in rois}))
        names = some(sorted({roi.name for roi in rois}))
        raise InputError(
            "--subjects, --hemispheres, --rois: no ROI of the data matches all of them; the data "
            f"has hemispheres {sides}, and ROIs {names}"
        )
    return chosen


def _usual(rois: "Sequence[Roi]", *, whole: bool) -> "set[Roi]":
    """Return the ROIs that are taken where none are named; each subject's data decides for it."""
    from trainables.spec.rois import ALL_VERTICES, atlas_of

    wanted = {roi for roi in rois if whole and roi.name == ALL_VERTICES}
    named: defaultdict[str, list[Roi]] = defaultdict(list)
    for roi in rois:
        if roi.name != ALL_VERTICES:
            named[roi.shard].append(roi)
    for of_subject in named.values():
        wanted.update([roi for roi in of_subject if atlas_of(roi.name) is None] or of_subject)
    return wanted


SELECTION: Final = Group("Selection of ROIs", sort_key=2)


@Parameter(name="*", group=SELECTION)
@dataclass(frozen=True)
class SelectionOptions:
    """The options that select ROIs."""

    subjects: Subjects | None = None
    """Numbers and ranges such as 1,5-8."""
    hemispheres: Annotated[str | None, Parameter(metavar="LIST")] = None
    """lh, rh or lh,rh; both: data that does not divide hemispheres."""
    rois: Annotated[str | None, Parameter(metavar="LIST")] = None
    """Groups early, higher, streams, and ROIs such as V1v,EBA. Without it, sweeps leave out atlases
    such as HCP_MMP1, and all, every vertex of a hemisphere as one ROI."""

    def read(self) -> Selection:
        """Parse the selection; raise InputError naming the invalid option."""
        from trainables.spec.rois import SIDES

        hemispheres = None if self.hemispheres is None else split_list(self.hemispheres)
        if not set(hemispheres or ()) <= set(SIDES):
            raise InputError(f"--hemispheres {self.hemispheres!r}: expected lh, rh or lh,rh")
        roi_names = None if self.rois is None else parse_rois(self.rois)
        return Selection(self.subjects, hemispheres, roi_names)
