"""The intervals of comparisons, from the files of a sweep to its tables."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.questions.improvement import ANALYSIS as IMPROVEMENT
from orchestrator.report.sections.improvement import section
from orchestrator.scores.__main__ import main
from orchestrator.scores.display.interval_notes import describe_intervals
from orchestrator.scores.display.score_tables import closing_table
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.hierarchical_interval import Uncertainty
from tests.builders.predicted_sweep import PredictedSweep
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def expected_interval(sweep: PredictedSweep, method: str) -> tuple[float, float]:
    """Compute the t interval of the subjects' means: no image is shared by them."""
    scores = read_score_table(RunDirectory(sweep.runs)).vertices
    by_roi = scores.groupby(["method", "subject", "roi_id"], observed=True)["r"].mean()
    means = by_roi.groupby(["method", "subject"], observed=True).mean()
    differences = means[method] - means["untuned"]
    found = scipy.stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
    return found.low, found.high


def compared(sweep: PredictedSweep, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    places = ("--out", str(sweep.runs), "--data", str(sweep.data))
    assert main([*places, "--compare", *flags]) == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("method", ["contrastive", "regression"])
def test_the_interval_of_all_is_over_subjects(
    predicted_sweep: PredictedSweep, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    low, high = expected_interval(predicted_sweep, method)
    shown = compared(predicted_sweep, capsys, method, "untuned")
    assert f" {low:+.3f} {high:+.3f} " in shown
    assert "interval: over subjects, seeds of the fine-tuning and test images" in shown


def test_the_closing_table_has_the_same_interval(predicted_sweep: PredictedSweep) -> None:
    runs, data = RunDirectory(predicted_sweep.runs), DataDirectory(predicted_sweep.data)
    trials = [trial.id for trials in predicted_sweep.contrastive for trial in trials]
    untuned = [path.name for path in (predicted_sweep.runs / "scores").glob("untuned-*")]
    table = closing_table(runs, data, [*trials, *untuned])
    assert table is not None
    low, high = expected_interval(predicted_sweep, "contrastive")
    column = next(
        one for one in table.columns if one.header == "95 % interval" or "%" in one.header
    )
    assert list(column.cells)[-1] == f"{low:+.3f} {high:+.3f}"


def test_two_subjects_are_no_sample_of_others(
    predicted_sweep: PredictedSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = compared(predicted_sweep, capsys, "contrastive", "untuned", "--subjects", "1,2")
    assert "interval: over seeds of the fine-tuning and test images" in shown
    assert "not over other subjects" in shown
    shown = compared(predicted_sweep, capsys, "regression", "untuned", "--subjects", "1,2")
    assert "interval: over test images" in shown
    assert "not over other seeds, as a method has one only" in shown


def test_a_row_without_predictions_says_why_it_has_no_interval(
    predicted_sweep: PredictedSweep,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # a line for each note, however long the path
    runs = tmp_path / "runs"
    shutil.copytree(predicted_sweep.runs, runs)
    roi, trial = predicted_sweep.rois[0], predicted_sweep.contrastive[0][0]
    gone = RunDirectory(runs).prediction_file(trial.id, roi.id)
    gone.unlink()
    flags = ["--compare", "contrastive", "untuned", "--by", "roi"]
    assert main(["--out", str(runs), "--data", str(predicted_sweep.data), *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    (of_roi,) = [line for line in lines if line.split()[:1] == [roi.name]]
    assert of_roi.split()[4] == "–"
    assert f"no interval for 1 ROI: {gone}: no predictions were kept" in lines
    assert "none where predictions are missing" in " ".join(" ".join(lines).split())
    damaged = RunDirectory(runs).prediction_file(predicted_sweep.contrastive[0][1].id, gone.stem)
    damaged.parent.joinpath(f"{predicted_sweep.rois[1].id}.parquet").write_bytes(b"PAR1")
    assert main(["--out", str(runs), "--data", str(predicted_sweep.data), *flags]) == 0
    assert "not a readable prediction file" in capsys.readouterr().out


def test_improvement_has_the_interval_and_what_it_covers(predicted_sweep: PredictedSweep) -> None:
    inputs = Inputs(RunDirectory(predicted_sweep.runs), DataDirectory(predicted_sweep.data))
    table = IMPROVEMENT.make(inputs)
    rows = table.to_pandas()
    of_level = rows[(rows["hemisphere"] == "both") & (rows["reference"] == "untuned")]
    chosen = of_level[(of_level["level"] == "group") & (of_level["method"] == "contrastive")]
    everything = chosen[chosen["row"] == "all"].iloc[0]
    expected = expected_interval(predicted_sweep, "contrastive")
    np.testing.assert_allclose([everything["low"], everything["high"]], expected, atol=2e-5)
    assert everything[["covers_subjects", "covers_seeds"]].tolist() == [True, True]
    one = of_level[(of_level["level"] == "subject") & (of_level["method"] == "regression")].iloc[0]
    assert one[["covers_subjects", "covers_seeds"]].tolist() == [False, False]
    assert "over subjects only in rows of 3 or more" in " ".join(section(table).notes)
    files = set(IMPROVEMENT.sources(inputs))
    trial, roi = predicted_sweep.contrastive[1][0], predicted_sweep.rois[0]
    assert inputs.runs.prediction_file(trial.id, roi.id) in files
    assert predicted_sweep.data / roi.shard / "manifest.json" in files


def covering(subjects: bool, seeds: bool | None) -> Uncertainty:
    return Uncertainty(0.1, covers_subjects=subjects, covers_seeds=seeds)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([covering(True, None)], "over subjects and test images, vertices kept together"),
        (
            [covering(True, True), covering(False, True)],
            "over seeds of the fine-tuning and test images, vertices kept together; over subjects "
            "only in rows of 3 or more",
        ),
        (
            [covering(True, True), covering(True, False), None],
            "over subjects and test images, vertices kept together; over seeds only where each "
            "method has several; none where predictions are missing",
        ),
        (
            [covering(False, False)],
            "over test images, vertices kept together; not over other subjects, which fewer than 3 "
            "say little about; not over other seeds, as a method has one only",
        ),
    ],
)
def test_what_an_interval_covers_is_said_in_words(
    rows: list[Uncertainty | None], text: str
) -> None:
    assert describe_intervals(rows) == f"interval: {text}"
