"""The regions of interest, in NSD's spelling, and the groups that tables report."""

from collections.abc import Mapping
from typing import Final

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

EARLY: Final = ROI_FAMILIES["prf-visualrois"]
STREAMS: Final = ROI_FAMILIES["streams"]
HIGHER: Final = tuple(
    roi
    for family, rois in ROI_FAMILIES.items()
    if family not in ("prf-visualrois", "streams")
    for roi in rois
)
ROI_ORDER: Final = (*EARLY, *HIGHER, *STREAMS)


def group_of(roi: str) -> str:
    """Name the group (``early``, ``higher`` or ``streams``) that an ROI is reported in."""
    if roi in EARLY:
        return "early"
    return "streams" if roi in STREAMS else "higher"
