"""The regions of interest, in NSD's spelling and NOD's, and the groups that tables report."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from trainables.spec.fields import Count, Label, Name, Text, one_of
from trainables.spec.records import record
from trainables.spec.values import require

ROI_FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "prf-visualrois": ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"),
    "floc-bodies": ("EBA", "FBA-1", "FBA-2", "mTL-bodies"),
    "floc-faces": ("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"),
    "floc-places": ("OPA", "PPA", "RSC"),
    "floc-words": ("OWFA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words"),
    "streams": (
        "early",
        "midventral",
        "midlateral",
        "midparietal",
        "ventral",
        "lateral",
        "parietal",
    ),
}
"""The mask family of each ROI, as the Algonauts 2023 packaging names its files."""

HEMISPHERES: Final = ("lh", "rh")
BOTH: Final = "both"
"""Hemisphere of data that does not divide them: a volume, or an array without such a column."""
SIDES: Final = (*HEMISPHERES, BOTH)
"""What a subject's responses are divided into, in order: lh and rh, or both alone."""
Hemisphere = Annotated[Text, AfterValidator(one_of(SIDES))]

NSD_OF_NOD: Final[Mapping[str, str]] = {"V1": "V1v", "V2": "V2v", "V3": "V3v", "V4": "hV4"}
"""For each of NOD's ROIs (areas of the HCP-MMP atlas), the NSD ROI whose models are evaluated on
it, in the same hemisphere. HCP-MMP does not divide V1, V2 and V3 into ventral and dorsal parts."""
NSD_SYNTHETIC: Final = "nsdsynthetic"
"""The data set NSD-synthetic, whose ROIs are those of the same subjects of NSD."""
FOR_EVALUATION: Final = ("nod", NSD_SYNTHETIC)
"""Data sets that no backbone is fine-tuned on by the search spaces here."""
NOD_ROIS: Final = tuple(NSD_OF_NOD)

EARLY: Final = (*ROI_FAMILIES["prf-visualrois"], *NOD_ROIS)
STREAMS: Final = ROI_FAMILIES["streams"]
HIGHER: Final = tuple(
    roi_name
    for family, roi_names in ROI_FAMILIES.items()
    if family not in ("prf-visualrois", "streams")
    for roi_name in roi_names
)
ALL_VERTICES: Final = "all"
"""The ROI of every vertex of a hemisphere. It is in no data's list of ROIs: a search space or
``--rois all`` asks for it."""
ROI_ORDER: Final = (*EARLY, *HIGHER, *STREAMS, ALL_VERTICES)
WHOLE_GROUP: Final = "whole"
"""The ROI group of ALL_VERTICES, and its name in tables, where ``all`` names totals."""
ATLAS_GROUP: Final = "atlas"
"""The ROI group of ATLASES."""
ATLASES: Final = (
    *("nsdgeneral", "Kastner2015", "HCP_MMP1", "prf-eccrois", "corticalsulc", "visualsulc"),
    *("gVTC", "hVTC", "gEVC", "fVTC"),
)
"""NSD's other families, which lie across those of ROI_FAMILIES; their ROIs are named by
`in_family`."""
OVERLAPPING_GROUPS: Final = ("streams", ATLAS_GROUP, WHOLE_GROUP)
"""ROI groups whose vertices lie in other ROIs too: totals leave them out."""


def in_family(family: str, label: str) -> str:
    """Name the ROI of a label: with its family's name before it, unless ROI_FAMILIES has that.

    >>> in_family("prf-visualrois", "V1v"), in_family("Kastner2015", "V1v")
    ('V1v', 'Kastner2015-V1v')
    >>> in_family("nsdgeneral", "nsdgeneral")
    'nsdgeneral'
    """
    return label if family in ROI_FAMILIES or label == family else f"{family}-{label}"


def atlas_of(roi_name: str) -> str | None:
    """Return the one of ATLASES that an ROI belongs to; None for another ROI.

    >>> atlas_of("HCP_MMP1-V1"), atlas_of("nsdgeneral"), atlas_of("V1v")
    ('HCP_MMP1', 'nsdgeneral', None)
    """
    found = (name for name in ATLASES if roi_name == name or roi_name.startswith(f"{name}-"))
    return next(found, None)


def roi_group_of(roi_name: str) -> str:
    """Return an ROI's group: ``early``, ``higher``, ``streams``, ``atlas`` or ``whole``."""
    if roi_name in EARLY:
        return "early"
    if roi_name == ALL_VERTICES:
        return WHOLE_GROUP
    if atlas_of(roi_name) is not None:
        return ATLAS_GROUP
    return "streams" if roi_name in STREAMS else "higher"


def is_overlapping(roi_name: str) -> bool:
    """Return whether an ROI's vertices lie in other ROIs too: a stream, an atlas's area, or all."""
    return roi_group_of(roi_name) in OVERLAPPING_GROUPS


def counted_groups(groups: Iterable[str]) -> frozenset[str]:
    """Return the ROI groups whose vertices totals and means count: those that do not overlap.

    Where there are OVERLAPPING_GROUPS alone, the first of these that is there.

    >>> sorted(counted_groups(["early", "streams", "atlas"])), counted_groups(["whole", "atlas"])
    (['early'], frozenset({'atlas'}))
    """
    there = frozenset(groups)
    for first in range(len(OVERLAPPING_GROUPS)):
        if kept := there.difference(OVERLAPPING_GROUPS[first:]):
            return kept
    return there


@record
class Roi:
    """An ROI of a subject, in one hemisphere or both, which models are fitted to and scored on."""

    dataset: Name
    subject: Name
    hemisphere: Hemisphere
    name: Name
    n_vertices: Annotated[Count, Field(le=10**7)]
    data: Label
    """Digest of the subject's shards (responses, split, image size), from their manifest."""

    @property
    def id(self) -> str:
        """``nsd-subj01-lh-V1v``."""
        return f"{self.dataset}-{self.subject}-{self.hemisphere}-{self.name}"

    @property
    def shard(self) -> str:
        """Name the dataset directory that holds this ROI's images: ``nsd-subj01``."""
        return f"{self.dataset}-{self.subject}"


def is_only_evaluated(roi: Roi) -> bool:
    """Return whether an ROI is for evaluations alone, with models of other data."""
    return roi.dataset in FOR_EVALUATION


def require_distinct(rois: Sequence[Roi]) -> None:
    """Raise ValueError if an ROI occurs twice, or if a subject's ROIs are of different data."""
    ids: set[str] = set()
    data: dict[str, str] = {}
    for roi in rois:
        require(roi.id not in ids, f"rois: {roi.id} occurs twice")
        ids.add(roi.id)
        known = data.setdefault(roi.shard, roi.data)
        require(known == roi.data, f"rois: {roi.shard} has data {known!r} and {roi.data!r}")
