"""Differences in the share of the explainable variance: of ROIs, in tables and in files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from orchestrator.scores.__main__ import main
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.image_jackknife import MeasuredResponses
from orchestrator.scores.statistics.measured_differences import (
    MeasuredDifferences,
    measure_differences,
)
from orchestrator.scores.statistics.noise_ceilings import shares, with_ceilings
from orchestrator.scores.statistics.share_differences import compare_shares
from orchestrator.scores.statistics.share_jackknife import median_share
from tests.builders.predicted_sweep import PredictedSweep
from tests.builders.small_predictions import measured
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory

PAIR = ("regression", "untuned")


@pytest.fixture(scope="module")
def vertices(predicted_sweep: PredictedSweep) -> pd.DataFrame:
    table = read_score_table(RunDirectory(predicted_sweep.runs))
    return with_ceilings(table.over_seeds, DataDirectory(predicted_sweep.data))


@pytest.fixture(scope="module")
def found(predicted_sweep: PredictedSweep) -> MeasuredDifferences:
    runs, data = RunDirectory(predicted_sweep.runs), DataDirectory(predicted_sweep.data)
    pairs = [PAIR, ("contrastive", "untuned")]
    return measure_differences(read_score_table(runs), pairs, runs, data, of="share")


def subject_differences(vertices: pd.DataFrame) -> "pd.Series[float]":
    """Subtract medians of ROIs, and average them by subject."""
    shared = vertices.assign(share=shares(vertices))
    medians = shared.groupby(["method", "subject", "roi_id"], observed=True)["share"].median()
    return (medians[PAIR[0]] - medians[PAIR[1]]).groupby("subject").mean()


def test_an_roi_s_difference_is_that_of_medians_with_the_effects_of_its_predictions(
    predicted_sweep: PredictedSweep, vertices: pd.DataFrame, found: MeasuredDifferences
) -> None:
    shared = vertices.assign(share=shares(vertices))
    medians = shared.groupby(["method", "roi_id"], observed=True)["share"].median()
    for roi, one in found.differences[PAIR].items():
        assert one.difference == pytest.approx(
            medians[PAIR[0], roi] - medians[PAIR[1], roi], abs=1e-4
        )
    assert not any(found.missing.values())
    roi = predicted_sweep.rois[0]
    _, y = measured(predicted_sweep.data / roi.shard, roi)
    every = np.ones(roi.n_vertices, bool)
    seeds = [
        median_share(
            MeasuredResponses(y), predicted_sweep.predicted(trials[0], roi), every, 0.9 * every
        )
        for trials in predicted_sweep.contrastive
    ]
    # a seed differs from the mean of two by half their difference, and counts half
    of_seed = found.differences["contrastive", "untuned"][roi.id].seeds["0"]
    assert of_seed.difference == pytest.approx((seeds[0][0] - seeds[1][0]) / 4, abs=1e-6)
    effects = (seeds[0][1] - seeds[1][1]) / 4
    assert of_seed.images.variance == pytest.approx(effects @ effects, rel=1e-5)


def test_vertices_without_a_ceiling_or_without_predictions_have_no_interval(
    vertices: pd.DataFrame, found: MeasuredDifferences
) -> None:
    first = str(vertices["roi_id"].iloc[0])
    unknown = vertices.assign(
        noise_ceiling=vertices["noise_ceiling"].where(vertices["roi_id"] != first)
    )
    (all_rois,) = (o for o in compare_shares(unknown, PAIR, "group", found) if o.row.is_total)
    assert first not in all_rois.row.rois
    assert all_rois.interval is not None
    of_pair = {roi: one for roi, one in found.differences[PAIR].items() if roi != first}
    missing = replace(found, differences={PAIR: of_pair})
    rows = {one.row.rois: one for one in compare_shares(vertices, PAIR, "subject-roi", missing)}
    assert (rows[first,].difference, rows[first,].interval) == (None, None)
    assert sum(one.interval is not None for one in rows.values()) == len(rows) - 1
    nowhere = vertices.assign(noise_ceiling=np.nan)
    assert compare_shares(nowhere, PAIR, "roi", found) == []


def test_the_table_and_its_file_have_the_interval_over_subjects(
    predicted_sweep: PredictedSweep,
    vertices: pd.DataFrame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "rows.parquet"
    places = ["--out", str(predicted_sweep.runs), "--data", str(predicted_sweep.data)]
    flags = ["--compare", *PAIR, "--rows", "table", "--export", str(path)]
    assert main([*places, *flags, "--stats"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Share of the explainable variance: regression against untuned" in text
    rows = pd.read_parquet(path)
    total = rows[rows["is_total"]].iloc[0]
    differences = subject_differences(vertices)
    middle = total["explained_difference"]
    assert middle == pytest.approx(differences.mean(), abs=1e-4)
    error = total["explained_standard_error"]
    assert error == pytest.approx(differences.sem(), abs=1e-4)
    half = scipy.stats.t.ppf(0.975, 2) * error
    interval = [total["explained_low"], total["explained_high"]]
    assert interval == pytest.approx([middle - half, middle + half])
    assert " ".join(f"{100 * one:+.1f}" for one in interval) in text
    assert main([*places, *flags]) == 0
    assert pd.read_parquet(path)["explained_difference"].isna().all()
