"""Areas of the HCP-MMP atlas, and the ROIs that they become."""

from collections.abc import Mapping
from typing import Final

from trainables.spec.rois import NOD_ROIS, ROI_ORDER

VISUAL: Final = "visual"
EVERY: Final = "all"
VISUAL_GROUPS: Final[Mapping[int, Mapping[str, int]]] = {
    1: {"V1": 1},
    2: {"V2": 4, "V3": 5, "V4": 6},
    3: {"V6": 3, "V3A": 13, "V7": 16, "IPS1": 17, "V3B": 19, "V6A": 152},
    4: {"V8": 7, "FFC": 18, "PIT": 22, "VMV1": 153, "VMV3": 154, "VMV2": 160, "VVC": 163},
    5: {
        **{"MST": 2, "LO1": 20, "LO2": 21, "MT": 23, "PH": 138},
        **{"V4t": 156, "FST": 157, "V3CD": 158, "LO3": 159},
    },
}
"""The atlas' groups of visual areas (1 primary, 2 early, 3 dorsal stream, 4 ventral stream, 5 MT+
complex and neighbours), with the number of each area in the left hemisphere."""
VISUAL_AREAS: Final[Mapping[str, int]] = {
    area: key for areas in VISUAL_GROUPS.values() for area, key in areas.items()
}
_TAKEN: Final = frozenset(ROI_ORDER) - frozenset(NOD_ROIS)


def roi_of(area: str) -> str:
    """Name the ROI of an area: its own name, unless a functional ROI of NSD has that name.

    >>> roi_of("V3A"), roi_of("RSC")
    ('V3A', 'RSC-MMP')
    """
    return f"{area}-MMP" if area in _TAKEN else area
