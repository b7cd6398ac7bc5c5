"""The intervals of pooled models against models of one subject."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.stats

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.questions.pooling import ANALYSIS, OTHERS
from orchestrator.report.sections.pooling import section
from orchestrator.scores.statistics.image_jackknife import MeasuredResponses
from tests.builders.paired_sweep import SUBJECTS, PairedSweep
from tests.builders.small_predictions import measured
from trainables.results.prediction_files import read_predictions
from trainables.results.run_directory import RunDirectory


@pytest.fixture(scope="module")
def table(paired_sweep: PairedSweep) -> pa.Table:
    return ANALYSIS.make(paired_sweep.inputs)


@pytest.fixture(scope="module")
def rows(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas()


def test_a_group_has_the_interval_over_subjects(rows: pd.DataFrame) -> None:
    of_rois = rows[rows["roi"].notna()]
    assert len(of_rois) == 2 * len(SUBJECTS)
    groups = rows[rows["roi"].isna()].set_index("group")
    assert list(groups.index) == ["early", "higher"]
    for group, one in groups.iterrows():
        part = of_rois[of_rois["group"] == group]
        for other in OTHERS:
            differences = part["r"] - part[f"r_{other}"]
            found = scipy.stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
            assert one[f"difference_{other}"] == pytest.approx(differences.mean())
            assert one[f"low_{other}"] == pytest.approx(found.low, abs=2e-4)
            assert one[f"high_{other}"] == pytest.approx(found.high, abs=2e-4)
            assert one[f"covers_subjects_{other}"]
            assert not one[f"covers_seeds_{other}"], "one seed of a training that subjects share"


def test_an_roi_has_the_interval_of_its_test_images(
    paired_sweep: PairedSweep, rows: pd.DataFrame
) -> None:
    """Against the mean over the three models of other subjects, which see the same images."""
    target = paired_sweep.of("subj02", "EBA")
    _, y = measured(paired_sweep.data.path / target.shard, target)
    responses, every = MeasuredResponses(y), np.ones(target.n_vertices, bool)
    effects: dict[str, list[np.ndarray]] = {"pooled": [], "transfer": []}
    for kind, found in effects.items():
        for path in sorted(
            paired_sweep.runs.path.glob(f"predictions/{kind}-*/{target.id}.parquet")
        ):
            read = read_predictions(path, "nested")
            assert read is not None
            found.append(responses.mean_r(read.values, every)[1])
    assert len(effects["transfer"]) == 3
    difference = effects["pooled"][0] - np.mean(effects["transfer"], axis=0)
    half = scipy.stats.t.ppf(0.975, len(y) - 1) * np.sqrt(difference @ difference)
    [one] = rows[(rows["subject"] == "subj02") & (rows["roi"] == "EBA")].itertuples()
    width = one.high_cross_subject - one.low_cross_subject
    assert width / 2 == pytest.approx(half, rel=1e-4)
    assert not one.covers_subjects_cross_subject


def test_the_report_has_the_intervals(table: pa.Table, rows: pd.DataFrame) -> None:
    page = section(table)
    early = rows[rows["roi"].isna() & (rows["group"] == "early")].iloc[0]
    for other in OTHERS:
        shown = f"{early[f'low_{other}']:+.3f} to {early[f'high_{other}']:+.3f}"
        assert shown in page.reading[0]
    assert "over subjects and test images" in " ".join(page.notes)
    assert "not over other seeds, as a method has one only" in " ".join(page.notes)


def test_a_missing_prediction_leaves_its_group_without_an_interval(
    paired_sweep: PairedSweep, tmp_path: Path
) -> None:
    runs = RunDirectory(tmp_path / "runs")
    shutil.copytree(paired_sweep.runs.path, runs.path)
    target = paired_sweep.of("subj02", "EBA")
    next(runs.path.glob(f"predictions/contrastive-*/{target.id}.parquet")).unlink()
    table = ANALYSIS.make(Inputs(runs, paired_sweep.data))
    rows = table.to_pandas()
    groups = rows[rows["roi"].isna()].set_index("group")
    assert groups["low_single"].isna().to_dict() == {"early": False, "higher": True}
    assert groups["low_cross_subject"].notna().all()
    assert "none where predictions are missing" in " ".join(section(table).notes)
