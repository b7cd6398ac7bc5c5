"""Intervals in exported files: of each trial's mean r, of means, of differences, of vertices."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from orchestrator.scores.__main__ import main
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.image_jackknife import MeasuredResponses
from tests.builders.predicted_sweep import PredictedSweep
from tests.builders.small_predictions import measured
from trainables.results.run_directory import RunDirectory


def exported(sweep: PredictedSweep, home: Path, *flags: str) -> pd.DataFrame:
    path = home / "rows.parquet"
    places = ("--out", str(sweep.runs), "--data", str(sweep.data))
    assert main([*places, *flags, "--export", str(path)]) == 0
    return pd.read_parquet(path)


def subject_means(sweep: PredictedSweep) -> pd.DataFrame:
    """Average r over seeds, vertices and ROIs: a row per subject, a column per method."""
    scores = read_score_table(RunDirectory(sweep.runs)).vertices
    keys = ["method", "subject", "roi_id"]
    of_rois = scores.groupby(keys, observed=True)["r"].mean()
    return of_rois.groupby(["method", "subject"], observed=True).mean().unstack("method")


def test_a_trial_has_the_interval_of_its_test_images(
    predicted_sweep: PredictedSweep, tmp_path: Path
) -> None:
    rows = exported(predicted_sweep, tmp_path).set_index(["trial_id", "roi"])
    assert set(rows["interval_over"]) == {"images"}
    trial, roi = predicted_sweep.contrastive[1][0], predicted_sweep.rois[0]
    _, y = measured(predicted_sweep.data / roi.shard, roi)
    every = np.ones(roi.n_vertices, bool)
    _, effects = MeasuredResponses(y).mean_r(predicted_sweep.predicted(trial, roi), every)
    one = rows.loc[(trial.id, roi.name)]
    error = np.sqrt(effects @ effects)
    assert one["standard_error"] == pytest.approx(error, rel=1e-5)
    half = scipy.stats.t.ppf(0.975, len(y) - 1) * error
    assert [one["low"], one["high"]] == pytest.approx([one["r"] - half, one["r"] + half])


@pytest.mark.parametrize("with_reference", [False, True])
def test_a_row_of_a_table_has_the_interval_over_subjects(
    predicted_sweep: PredictedSweep, tmp_path: Path, *, with_reference: bool
) -> None:
    flags = ["--compare", "contrastive", "untuned"] if with_reference else []
    rows = exported(predicted_sweep, tmp_path, "--rows", "table", "--by", "group", *flags)
    one = rows[(rows["method"] == "contrastive") & rows["is_total"]].iloc[0]
    means = subject_means(predicted_sweep)
    values = means["contrastive"] - (means["untuned"] if with_reference else 0)
    expected = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert [one["low"], one["high"]] == pytest.approx([*expected], abs=2e-5)
    assert one["standard_error"] == pytest.approx(values.std() / np.sqrt(3), abs=1e-5)
    assert one["interval_over"] == "subjects, seeds, images"
    assert (one["reference"] == "untuned") == with_reference
    assert one["difference" if with_reference else "r"] == pytest.approx(values.mean())
    if not with_reference:
        untuned = rows[(rows["method"] == "untuned") & rows["is_total"]].iloc[0]
        assert untuned["interval_over"] == "subjects, images"


def test_a_subject_s_row_covers_images_and_seeds_alone(
    predicted_sweep: PredictedSweep, tmp_path: Path
) -> None:
    rows = exported(predicted_sweep, tmp_path, "--rows", "table", "--by", "subject")
    of_one = rows[rows["row"] == "subj01"].set_index("method")["interval_over"]
    assert of_one["contrastive"] == "seeds, images"
    assert of_one["regression"] == "images"


def test_a_vertex_has_its_standard_error(predicted_sweep: PredictedSweep, tmp_path: Path) -> None:
    flags = ["--compare", "regression", "untuned", "--stats", "--rows", "differences"]
    rows = exported(predicted_sweep, tmp_path, *flags)
    half = scipy.stats.t.ppf(0.975, rows["n_images"] - 1) * rows["standard_error"]
    np.testing.assert_allclose(rows["high"] - rows["difference"], half, rtol=1e-6)
    assert set(rows["interval_over"]) == {"images"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rows", "table"], "--rows table: needs --export FILE"),
        (
            ["--rows", "table", "--by", "layer", "--export", "x.csv"],
            "--rows table with --by layer: expected a table of means or of --compare",
        ),
        (
            ["--rows", "table", "--protocol", "nested,paper", "--export", "x.csv"],
            "--rows table with --protocol nested,paper: expected",
        ),
    ],
)
def test_tables_without_such_rows_are_refused(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags) == 2
    assert message in capsys.readouterr().err
