"""Per-vertex scores as papers publish them, through the aggregation: every number by hand.

One array of r a subject, hemisphere and ROI; ROIs differ in size, and not every subject has all.
"""

import numpy as np
import pandas as pd
import pytest

from orchestrator.scores.statistics.measured_differences import MeasuredDifferences
from orchestrator.scores.statistics.subject_tests import SubjectBootstrap, compare_over_subjects
from orchestrator.scores.statistics.summaries import compare_all, summarise
from orchestrator.scores.statistics.vertex_pairs import pair
from trainables.spec.rois import roi_group_of

PUBLISHED = {
    "untuned": {
        "subj01": {
            "lh_V1v": [0.40, 0.50], "rh_V1v": [0.30], "lh_hV4": [0.20, 0.20, 0.20, 0.60],
            "lh_EBA": [0.50, 0.50], "lh_ventral": [0.90, 0.90],
        },
        "subj02": {"lh_V1v": [0.10, 0.20, 0.30], "rh_EBA": [0.60]},
        "subj03": {"lh_hV4": [0.45]},
    },
    "contrastive": {
        "subj01": {
            "lh_V1v": [0.50, 0.45], "rh_V1v": [0.35], "lh_hV4": [0.30, 0.20, 0.10, 0.80],
            "lh_EBA": [0.55, 0.45], "lh_ventral": [0.10, 0.10],
        },
        "subj02": {"lh_V1v": [0.20, 0.25, 0.30], "rh_EBA": [0.50]},
        "subj03": {"lh_hV4": [0.50]},
    },
}  # fmt: skip


def vertices() -> pd.DataFrame:
    """One row a vertex and method."""
    rows = []
    for method, subjects in PUBLISHED.items():
        for subject, rois in subjects.items():
            for place, scores in rois.items():
                hemisphere, roi_name = place.split("_")
                for vertex, r in enumerate(scores):
                    where = {"dataset": "nsd", "subject": subject, "hemisphere": hemisphere}
                    rows.append(
                        {
                            **where, "roi": roi_name, "group": roi_group_of(roi_name),
                            "vertex": vertex, "r": r, "n_seeds": 1,
                            "method": method, "roi_id": f"nsd-{subject}-{hemisphere}-{roi_name}",
                            "data": "0123abcd", "protocol": "paper",
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


MEANS = {
    # Of ROIs, by hand: untuned V1v .45 .30, hV4 .30, EBA .50 | V1v .20, EBA .60 | hV4 .45
    ("early", "untuned"): ((0.45 + 0.30 + 0.30) / 3 + 0.20 + 0.45) / 3,
    ("higher", "untuned"): (0.50 + 0.60) / 2,
    ("all", "untuned"): ((0.45 + 0.30 + 0.30 + 0.50) / 4 + (0.20 + 0.60) / 2 + 0.45) / 3,
    # contrastive V1v .475 .35, hV4 .35, EBA .50 | V1v .25, EBA .50 | hV4 .50
    ("early", "contrastive"): ((0.475 + 0.35 + 0.35) / 3 + 0.25 + 0.50) / 3,
    ("higher", "contrastive"): (0.50 + 0.50) / 2,
    ("all", "contrastive"): ((0.475 + 0.35 + 0.35 + 0.50) / 4 + (0.25 + 0.50) / 2 + 0.50) / 3,
}
IMPROVED = {
    # Of ROIs, strictly better: V1v 1/2, 1/1, hV4 2/4, EBA 1/2 | V1v 2/3, EBA 0/1 | hV4 1/1
    "early": ((1 / 2 + 1 + 2 / 4) / 3 + 2 / 3 + 1) / 3,
    "higher": (1 / 2 + 0) / 2,
    "all": ((1 / 2 + 1 + 2 / 4 + 1 / 2) / 4 + (2 / 3 + 0) / 2 + 1) / 3,
}


def test_early_higher_and_all_means_are_those_by_hand() -> None:
    found = {(one.row.label, one.method): one.mean for one in summarise(vertices(), "group")}
    assert {key: found[key] for key in MEANS} == pytest.approx(MEANS)


def test_streams_have_a_row_of_their_own_and_are_in_no_other() -> None:
    found = {(one.row.label, one.method): one for one in summarise(vertices(), "group")}
    assert found["streams", "untuned"].mean == pytest.approx(0.9)
    assert found["all", "untuned"].n_rois == 7
    assert found["higher", "untuned"].n_subjects == 2


def test_shares_improved_are_those_by_hand() -> None:
    pairs = pair(vertices(), "contrastive", "untuned")
    found = compare_all([pairs], "group", MeasuredDifferences())
    compared = {one.row.label: one for one in found}
    for label, share in IMPROVED.items():
        assert compared[label].share_improved == pytest.approx(share)
        expected = MEANS[label, "contrastive"] - MEANS[label, "untuned"]
        assert compared[label].difference == pytest.approx(expected)


def test_the_statistics_over_subjects_are_of_the_same_numbers() -> None:
    pairs = pair(vertices(), "contrastive", "untuned")
    found = compare_over_subjects(pairs, "group", SubjectBootstrap(n_draws=50))
    tests = {one.row.label: one for one in found}
    for label, share in IMPROVED.items():
        assert tests[label].share_improved == pytest.approx(share)
    assert (tests["early"].n_subjects, tests["higher"].n_subjects) == (3, 2)
    assert tests["higher"].share_interval is None
    assert tests["higher"].flip_p is not None


def test_an_roi_is_averaged_over_the_subjects_that_have_it() -> None:
    found = {(one.row.label, one.method): one.mean for one in summarise(vertices(), "roi")}
    assert found["V1v", "untuned"] == pytest.approx(np.mean([(0.45 + 0.30) / 2, 0.20]))
    assert found["hV4", "untuned"] == pytest.approx(np.mean([0.30, 0.45]))
    assert found["EBA", "contrastive"] == pytest.approx(np.mean([0.50, 0.50]))
