"""The intervals of transfer between subjects, from predictions to tables and the report."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.stats

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.questions.transfer import ANALYSIS, MEAN
from orchestrator.report.sections.transfer import section
from orchestrator.scores.__main__ import main
from orchestrator.scores.statistics.image_jackknife import MeasuredResponses
from tests.builders.paired_sweep import SUBJECTS, PairedSweep
from tests.builders.small_predictions import measured
from trainables.results.prediction_files import read_predictions
from trainables.results.run_directory import RunDirectory
from trainables.spec import Evaluation


@pytest.fixture(scope="module")
def table(paired_sweep: PairedSweep) -> pa.Table:
    return ANALYSIS.make(paired_sweep.inputs)


@pytest.fixture(scope="module")
def rows(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas()


def test_the_mean_over_pairs_has_the_interval_of_subjects_left_out(rows: pd.DataFrame) -> None:
    both = rows[rows["hemisphere"] == "both"]
    for row in ("early", "higher", "all"):
        pairs = both[(both["level"] == "group") & (both["row"] == row) & ~both["is_own"]]
        [mean] = both[(both["level"] == MEAN) & (both["row"] == row)].itertuples()
        assert len(pairs) == 12
        left = [
            pairs.loc[(pairs["model"] != one) & (pairs["subject"] != one), "gain"].mean()
            for one in SUBJECTS
        ]
        half = scipy.stats.t.ppf(0.975, 3) * np.sqrt(3 / 4 * np.sum((left - np.mean(left)) ** 2))
        assert mean.gain == pytest.approx(pairs["gain"].mean())
        assert (mean.high - mean.low) / 2 == pytest.approx(half, rel=1e-3)
        assert (mean.low + mean.high) / 2 == pytest.approx(mean.gain)
        assert (mean.covers_subjects, mean.covers_seeds) == (True, True)


def test_a_pair_has_the_interval_of_its_target_s_images(
    paired_sweep: PairedSweep, rows: pd.DataFrame
) -> None:
    own, target = paired_sweep.of("subj01", "V1v"), paired_sweep.of("subj03", "V1v")
    index, y = measured(paired_sweep.data.path / target.shard, target)
    responses, every = MeasuredResponses(y), np.ones(target.n_vertices, bool)
    untuned = next(paired_sweep.runs.path.glob(f"predictions/untuned-*/{target.id}.parquet"))
    moved = Evaluation(paired_sweep.models[own], (target,))
    effects = []
    for path in (paired_sweep.runs.prediction_file(moved.id, target.id), untuned):
        read = read_predictions(path, "nested")
        assert read is not None
        assert read.index.tolist() == index.tolist()
        effects.append(responses.mean_r(read.values, every)[1])
    difference = effects[0] - effects[1]
    half = scipy.stats.t.ppf(0.975, len(index) - 1) * np.sqrt(difference @ difference)
    [one] = rows[
        (rows["level"] == "roi")
        & (rows["row"] == "V1v")
        & (rows["hemisphere"] == "lh")
        & (rows["model"] == "subj01")
        & (rows["subject"] == "subj03")
    ].itertuples()
    assert (one.high - one.low) / 2 == pytest.approx(half, rel=1e-4)
    assert (one.covers_subjects, one.covers_seeds) == (False, False)


def test_tables_and_the_report_show_the_interval_and_what_it_covers(
    paired_sweep: PairedSweep,
    table: pa.Table,
    rows: pd.DataFrame,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    [mean] = rows[
        (rows["level"] == MEAN) & (rows["row"] == "early") & (rows["hemisphere"] == "both")
    ].itertuples()
    places = ["--out", str(paired_sweep.runs.path), "--data", str(paired_sweep.data.path)]
    assert main([*places, "--by", "model"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{mean.gain:+.3f} {mean.low:+.3f} {mean.high:+.3f}" in shown
    assert "interval: over subjects, seeds of the fine-tuning and test images" in shown
    page = section(table)
    assert f"{mean.low:+.3f} to {mean.high:+.3f}" in page.reading[0]
    assert "over subjects, seeds" in " ".join(page.notes)


def test_a_pair_without_predictions_has_no_interval_and_the_caption_says_so(
    paired_sweep: PairedSweep,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    runs = RunDirectory(tmp_path / "runs")
    shutil.copytree(paired_sweep.runs.path, runs.path)
    own, target = paired_sweep.of("subj01", "V1v"), paired_sweep.of("subj03", "V1v")
    moved = Evaluation(paired_sweep.models[own], (target,))
    runs.prediction_file(moved.id, target.id).unlink()
    table = ANALYSIS.make(Inputs(runs, paired_sweep.data))
    rows = table.to_pandas()
    means = rows[(rows["level"] == MEAN) & (rows["hemisphere"] == "both")].set_index("row")
    assert means["low"].isna().to_dict() == {"early": True, "higher": False, "all": True}
    assert "none where predictions are missing" in " ".join(section(table).notes)
    places = ["--out", str(runs.path), "--data", str(paired_sweep.data.path)]
    assert main([*places, "--by", "model"]) == 0
    assert "no interval for 1 ROI:" in capsys.readouterr().out
