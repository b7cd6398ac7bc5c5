"""Rows by ROI and hemisphere are one family; lh is contrasted with rh as SciPy and pandas do."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from orchestrator.scores.rows import ROI_COLUMNS
from orchestrator.scores.statistics.hemispheres import contrast_hemispheres
from orchestrator.scores.statistics.subject_tests import SubjectBootstrap, compare_over_subjects
from orchestrator.scores.statistics.vertex_pairs import Pairs

GROUPS = {"V1v": "early", "hV4": "early", "EBA": "higher"}
LEFT_ONLY = ("subj03", "EBA")


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """Six subjects, of whom one has no EBA in rh; a is better by 0.05 in lh V1v alone."""
    rng = np.random.default_rng(0)
    parts = []
    for number in range(1, 7):
        for side in ("lh", "rh"):
            for name, group in GROUPS.items():
                subject = f"subj{number:02d}"
                if side == "rh" and (subject, name) == LEFT_ONLY:
                    continue
                gain = 0.05 * ((side, name) == ("lh", "V1v"))
                b = rng.normal(0.4, 0.1, 5)
                place = dict(zip(ROI_COLUMNS, ("nsd", subject, side, name, group), strict=True))
                a = b + gain + rng.normal(0, 0.01, 5)
                roi_id = f"nsd-{subject}-{side}-{name}"
                parts.append(pd.DataFrame({"roi_id": roi_id, **place, "a": a, "b": b}))
    return Pairs("contrastive", "untuned", pd.concat(parts, ignore_index=True), 0, 0, 0)


def of_rois(pairs: Pairs) -> pd.Series:
    frame = pairs.frame.assign(difference=pairs.frame["a"] - pairs.frame["b"])
    return frame.groupby(["roi", "hemisphere", "subject"])["difference"].mean()


def test_rois_of_both_hemispheres_are_one_family(pairs) -> None:
    tests = compare_over_subjects(pairs, "roi-hemisphere", SubjectBootstrap(n_draws=50))
    rows = {one.row.label: one for one in tests if not one.row.is_total}
    assert list(rows) == ["V1v lh", "V1v rh", "hV4 lh", "hV4 rh", "EBA lh", "EBA rh"]
    p = [scipy.stats.ttest_1samp(of_rois(pairs)[tuple(label.split())], 0).pvalue for label in rows]
    assert [one.t_p for one in rows.values()] == pytest.approx(p)
    q = scipy.stats.false_discovery_control(p)
    assert [one.t_q for one in rows.values()] == pytest.approx(list(q))
    assert rows["EBA rh"].n_subjects == 5
    assert [one.row.label for one in tests if one.row.is_total] == [
        "all early",
        "all higher",
        "all",
    ]


def test_contrasts_are_paired_tests_of_the_hemispheres(pairs) -> None:
    found = {one.row.label: one for one in contrast_hemispheres(pairs)}
    assert list(found) == ["V1v", "hV4", "EBA", "all early", "all"]
    means = of_rois(pairs).unstack("hemisphere").dropna()
    p = [scipy.stats.ttest_rel(means.loc[n, "lh"], means.loc[n, "rh"]).pvalue for n in GROUPS]
    q = scipy.stats.false_discovery_control(p)
    for name, of_t, of_q in zip(GROUPS, p, q, strict=True):
        one = found[name]
        assert (one.t_p, one.t_q) == (pytest.approx(of_t), pytest.approx(of_q))
        assert one.left == pytest.approx(means.loc[name, "lh"].mean())
        assert one.contrast == pytest.approx((means.loc[name, "lh"] - means.loc[name, "rh"]).mean())
    assert found["EBA"].n_subjects == 5
    assert found["V1v"].contrast > 0.04
    assert found["V1v"].t_q is not None
    assert found["V1v"].t_q < 0.01
    assert found["V1v"].flip_p == 2 / 2**6
    by_subject = means.groupby("subject").mean()
    expected = scipy.stats.ttest_rel(by_subject["lh"], by_subject["rh"]).pvalue
    assert found["all"].t_p == pytest.approx(expected)
    assert found["all"].t_q is None
    assert found["all"].flip_q is None
    flip_q = scipy.stats.false_discovery_control([found[name].flip_p for name in GROUPS])
    assert [found[name].flip_q for name in GROUPS] == pytest.approx(list(flip_q))
    assert {one.method for one in found.values()} == {"contrastive"}


def test_without_both_hemispheres_there_is_no_contrast(pairs) -> None:
    left = pairs.frame[pairs.frame["hemisphere"] == "lh"]
    assert contrast_hemispheres(Pairs("a", "b", left, 0, 0, 0)) == []
