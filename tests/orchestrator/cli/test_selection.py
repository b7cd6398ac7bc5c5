"""Which ROIs a command is restricted to."""

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import Selection, parse_rois, parse_subjects, resolve_rois, select
from tests.builders.planned_rois import ALL_ROIS, rois
from trainables.spec import (
    Roi,
)
from trainables.spec.rois import EARLY, HIGHER, STREAMS


def test_rois_are_read_as_names_and_groups_in_the_order_of_tables() -> None:
    assert parse_rois("EBA, V1v") == ("V1v", "EBA")
    assert parse_rois("early") == EARLY
    assert parse_rois("higher") == HIGHER
    assert parse_rois("streams") == STREAMS
    assert parse_rois("early,V1v,early") == EARLY
    assert parse_rois("midventral") == ("midventral",)


@pytest.mark.parametrize("text", ["", "V5", "V1v,", "v1v", "whole", "V1v,Kastner2015-V1v"])
def test_an_unknown_roi_is_reported_with_those_of_the_data(text) -> None:
    with pytest.raises(InputError, match=r"--rois: unknown '.*'; expected early, higher.*V1v"):
        select(ALL_ROIS, Selection(rois=parse_rois(text)))


def test_the_data_may_have_rois_of_its_own() -> None:
    names = [*(f"HCP_MMP1-{k}" for k in range(50)), "nsdgeneral"]
    own = [Roi("nsd", "subj01", "lh", name, 9, "data-subj01") for name in names]
    chosen = parse_rois("nsdgeneral,EBA,HCP_MMP1-7,V1v")
    assert chosen == ("V1v", "EBA", "nsdgeneral", "HCP_MMP1-7")
    assert [roi.name for roi in select(own, Selection(rois=chosen))] == ["HCP_MMP1-7", "nsdgeneral"]
    with pytest.raises(InputError, match=r"HCP_MMP1-39 …; did you mean 'nsdgeneral'\?"):
        select(own, Selection(rois=("nsdgenral",)))


@pytest.mark.parametrize(
    ("text", "subjects"),
    [
        *(("subj01", (1,)), ("Subj1", (1,)), ("sub-09", (9,)), ("sub01", (1,)), ("1,s2", (1, 2))),
        *(("sub-01-sub-03", (1, 2, 3)), ("subj05-8", (5, 6, 7, 8)), ("subject 4", (4,))),
        *(("1 - 3", (1, 2, 3)), ("S1,subj02, sub-3", (1, 2, 3))),
    ],
)
def test_subjects_are_named_as_in_any_data_set(text, subjects) -> None:
    assert parse_subjects(text) == subjects


@pytest.mark.parametrize("text", ["pilot", "sub-", "01sub", "sub-1x", "１", "1;2"])
def test_another_subject_is_reported_with_the_forms_that_are_read(text) -> None:
    with pytest.raises(InputError, match=r"expected numbers and ranges such as 1,5-8, or names"):
        parse_subjects(text)


def test_rois_are_selected_by_subject_hemisphere_and_roi() -> None:
    chosen = select(ALL_ROIS, Selection((2,), ("rh",), ("V1v", "EBA")))
    assert [roi.id for roi in chosen] == ["nsd-subj02-rh-V1v", "nsd-subj02-rh-EBA"]
    assert select(ALL_ROIS, Selection()) == ALL_ROIS


def test_whole_hemispheres_are_selected_only_where_they_are_asked_for() -> None:
    whole = [Roi("nsd", "subj01", side, "all", 12, "data-subj01") for side in ("lh", "rh")]
    listed = [*rois(1), *whole]
    assert parse_rois("all,V1v") == ("V1v", "all")
    assert select(listed, Selection()) == rois(1)
    assert select(listed, Selection(), whole=True) == listed
    assert select(listed, Selection(rois=("V1v", "all"))) == listed
    assert select(listed, Selection(rois=("V1v",)), whole=True) == rois(1)
    assert select(listed, Selection(hemispheres=("rh",)), whole=True) == whole[1:]
    area = Roi("nsd", "subj01", "lh", "HCP_MMP1-V1", 12, "data-subj01")
    assert select([*listed, area], Selection(), whole=True) == listed


def test_areas_of_atlases_are_selected_only_where_they_are_asked_for() -> None:
    names = ("nsdgeneral", "HCP_MMP1-V1", "HCP_MMP1-V2", "Kastner2015-V1v")
    areas = [Roi("nsd", "subj01", "lh", name, 12, "data-subj01") for name in names]
    listed = [*rois(1), *areas]
    assert select(listed, Selection()) == rois(1)
    assert select(listed, Selection(rois=("HCP_MMP1",))) == areas[1:3]
    assert select(listed, Selection(rois=("Kastner2015-V1v", "nsdgeneral"))) == [
        areas[0],
        areas[3],
    ]
    assert select(areas, Selection()) == areas
    of_lab = Roi("lab", "subj09", "both", "nsdgeneral", 12, "data-subj09")
    assert select([*listed, of_lab], Selection()) == [*rois(1), of_lab]
    assert resolve_rois(("HCP_MMP1", "V1v"), names) == ("HCP_MMP1-V1", "HCP_MMP1-V2", "V1v")
    with pytest.raises(InputError, match=r"--rois: unknown 'corticalsulc'"):
        select(listed, Selection(rois=("corticalsulc",)))


def test_a_subject_that_is_not_in_the_data_is_reported_with_those_that_are() -> None:
    with pytest.raises(InputError, match="--subjects: 7 not in the data, which has subj01, subj02"):
        select(ALL_ROIS, Selection(subjects=(1, 7)))


def test_subjects_are_selected_by_number_in_every_data_set() -> None:
    nod = [Roi("nod", f"sub-{k:02d}", "lh", "V1", 50, "data") for k in (1, 2)]
    chosen = select(ALL_ROIS + nod, Selection((2,), ("lh",), parse_rois("early")))
    assert [roi.id for roi in chosen][-2:] == ["nsd-subj02-lh-hV4", "nod-sub-02-lh-V1"]
    assert len(chosen) == 8


def test_a_selection_that_leaves_no_roi_is_reported() -> None:
    with pytest.raises(
        InputError, match=r"no ROI of the data.*; the data has hemispheres .*ROIs V"
    ):
        select(rois(1), Selection(rois=("EBA",)))
