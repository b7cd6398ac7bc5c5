"""The groups of backbones in the paper's figures, by the ROI that they were fine-tuned on."""

from typing import Final

from trainables.spec.rois import BOTH, EARLY, ROI_FAMILIES

OTHER: Final = "Other"
"""Of ROIs that NSD does not name."""
_EARLY: Final = {"lh": "Early-L", "rh": "Early-R", BOTH: "Early"}
_FAMILIES: Final = {
    "floc-bodies": "Body",
    "floc-faces": "Face",
    "floc-places": "Place",
    "floc-words": "Word",
    "streams": "Streams",
}
MODEL_GROUPS: Final = (_EARLY["lh"], _EARLY["rh"], *_FAMILIES.values(), OTHER, _EARLY[BOTH])
"""In the order of tables and figures. Early ROIs are divided by hemisphere
where the data is, higher ones by what
they prefer."""


def model_group_of(roi_name: str, hemisphere: str) -> str:
    """Return the group of a backbone that was fine-tuned on an ROI."""
    if roi_name in EARLY:
        return _EARLY[hemisphere]
    for family, group in _FAMILIES.items():
        if roi_name in ROI_FAMILIES[family]:
            return group
    return OTHER
