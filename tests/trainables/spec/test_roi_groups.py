"""The ROI group of an ROI: of its family, or of an atlas that lies across the families."""

import pytest

from trainables.spec.rois import ROI_ORDER, in_family, roi_group_of


@pytest.mark.parametrize(
    ("family", "label", "name", "group"),
    [
        ("prf-visualrois", "V1v", "V1v", "early"),
        ("floc-faces", "FFA-1", "FFA-1", "higher"),
        ("streams", "ventral", "ventral", "streams"),
        ("Kastner2015", "V1v", "Kastner2015-V1v", "atlas"),
        ("HCP_MMP1", "V1", "HCP_MMP1-V1", "atlas"),
        ("prf-eccrois", "ecc4+", "prf-eccrois-ecc4+", "atlas"),
        ("nsdgeneral", "nsdgeneral", "nsdgeneral", "atlas"),
        ("MTL", "ERC", "MTL-ERC", "higher"),
        ("of-ones-own", "place", "of-ones-own-place", "higher"),
    ],
)
def test_rois_of_atlases_are_named_and_grouped_apart(family, label, name, group) -> None:
    assert in_family(family, label) == name
    assert roi_group_of(name) == group


def test_no_other_roi_is_of_an_atlas() -> None:
    assert {roi_group_of(name) for name in ROI_ORDER} == {"early", "higher", "streams", "whole"}
