"""Tests over subjects in the table of improvement, and in the report."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.stats

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.questions.improvement import ANALYSIS
from orchestrator.report.sections.improvement import section
from orchestrator.scores.score_table import read_score_table
from tests.builders.predicted_sweep import PredictedSweep
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory


@pytest.fixture(scope="module")
def table(predicted_sweep: PredictedSweep) -> pa.Table:
    runs, data = RunDirectory(predicted_sweep.runs), DataDirectory(predicted_sweep.data)
    return ANALYSIS.make(Inputs(runs, data))


@pytest.fixture(scope="module")
def rows(table: pa.Table) -> pd.DataFrame:
    found = table.to_pandas()
    return found[(found["method"] == "contrastive") & (found["reference"] == "untuned")]


@pytest.fixture(scope="module")
def gains(predicted_sweep: PredictedSweep) -> pd.Series:
    """Average the gain of contrastive over seeds and vertices: by (hemisphere, roi, subject)."""
    scores = read_score_table(RunDirectory(predicted_sweep.runs)).vertices
    keys = ["method", "hemisphere", "roi", "subject"]
    means = scores.astype(dict.fromkeys(keys, str)).groupby(keys)["r"].mean()
    return means["contrastive"] - means["untuned"]


def test_rois_of_both_hemispheres_are_tested_as_one_family(
    rows: pd.DataFrame, gains: pd.Series
) -> None:
    found = rows[(rows["level"] == "roi") & (rows["hemisphere"] != "both")]
    found = found.set_index(["hemisphere", "roi"]).sort_index()
    p = gains.groupby(["hemisphere", "roi"]).agg(lambda d: scipy.stats.ttest_1samp(d, 0).pvalue)
    assert list(found.index) == list(p.index)
    assert set(found.index.get_level_values("hemisphere")) == {"lh", "rh"}
    np.testing.assert_allclose(found["t_p"], p)
    np.testing.assert_allclose(found["t_q"], scipy.stats.false_discovery_control(p))
    assert set(found["flip_p"]) == {0.25}, "3 subjects that all gain: 2 of 8 sign flips"


def test_groups_are_tested_and_other_levels_are_not(rows: pd.DataFrame, gains: pd.Series) -> None:
    of_subjects = gains.unstack("subject")
    early = of_subjects[of_subjects.index.get_level_values("roi") != "EBA"].mean()
    group = rows[(rows["level"] == "group") & (rows["hemisphere"] == "both")].set_index("row")
    p = scipy.stats.ttest_1samp(early, 0).pvalue
    assert group.at["early", "t_p"] == pytest.approx(p)
    assert pd.isna(group.at["all", "t_q"])
    assert rows.loc[rows["level"].isin(["subject", "subject-roi"]), "t_p"].isna().all()


def test_hemispheres_are_contrasted_over_the_subjects_that_have_both(
    rows: pd.DataFrame, gains: pd.Series
) -> None:
    contrast = (gains["lh"] - gains["rh"]).dropna()["V1v"]
    found = rows[rows["contrast_t_p"].notna()].set_index(["level", "row"])
    assert set(found.index) == {("roi", "V1v")}, "what both hemispheres have"
    one = found.loc[("roi", "V1v")]
    assert one["lh_minus_rh"] == pytest.approx(contrast.mean())
    assert one["contrast_t_p"] == pytest.approx(scipy.stats.ttest_1samp(contrast, 0).pvalue)


def test_the_report_counts_what_differs(table: pa.Table, rows: pd.DataFrame) -> None:
    of_sides = rows[(rows["level"] == "roi") & (rows["hemisphere"] != "both")]
    [sentence] = [one for one in section(table).reading if one.startswith("contrastive, over")]
    n_better = int((of_sides["t_q"] <= 0.05).sum())
    assert f"of {len(of_sides)} ROIs of a hemisphere, {n_better} are better" in sentence
    assert "by the sign-flip test 0 differ; lh and rh differ in" in sentence
