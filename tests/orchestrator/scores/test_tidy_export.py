"""One row per ROI and method: what each column holds, and null where nothing is known."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks.small_shards import write_shards
from orchestrator.scores.__main__ import main
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.measured_differences import MeasuredDifferences
from orchestrator.scores.tidy_export import TIDY_SCHEMA, tidy_rows
from tests.builders.small_scores import roi, write, write_sweep
from trainables.data.data_directory import DataDirectory
from trainables.results.epoch_report import EpochReport
from trainables.results.outcome import Outcome
from trainables.results.provenance import code_version
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Untuned


def rows(home: Path) -> list[dict]:
    runs = home / "runs"
    table = tidy_rows(
        read_score_table(RunDirectory(runs)),
        DataDirectory(home / "data"),
        partial(Outcome.read, RunDirectory(runs)),
        MeasuredDifferences(),
    )
    assert table.schema == TIDY_SCHEMA
    return table.to_pylist()


def test_a_finetuned_roi_has_every_column(tmp_path) -> None:
    rois = write_shards(tmp_path / "data", n_images=20, image_size=8)
    v1 = next(one for one in rois if one.name == "V1v")
    objective = Contrastive(temperature=0.1, epochs=2)
    trial = write(tmp_path / "runs", objective, v1, [0.3, -0.1, np.nan, 0.95], seed=3)
    history = (EpochReport(1, 2.5, 1.0, 10.0), EpochReport(2, 2.0, 1.0, 10.0))
    Outcome(trial, "finished", "node-1", "cpu", 0.0, {}, history).write(
        RunDirectory(tmp_path / "runs")
    )
    (row,) = rows(tmp_path)
    assert json.loads(row.pop("hyperparameters"))["temperature"] == 0.1
    assert row.pop("setting")
    assert row.pop("host")
    ceiling = pytest.approx(0.9)
    assert row == {
        "benchmark": "nsd", "split": "paper", "subject": "subj01", "hemisphere": "lh",
        "roi": "V1v", "group": "early", "n_vertices": 4, "n_scored": 3, "n_images": 15,
        "n_overlap": 0, "n_excluded": 0, "trained_on": "nsd-subj01-lh-V1v",
        "method": "contrastive", "model": "alexnet", "weights": "IMAGENET1K_V1",
        "layer": "classifier.5", "protocol": "nested",
        "r": pytest.approx((0.3 - 0.1 + 0.95) / 3), "r_median": pytest.approx(0.3),
        "standard_error": None, "low": None, "high": None, "interval_over": None,
        "r2": pytest.approx((0.09 + 0.01 + 0.9025) / 3), "noise_ceiling": ceiling,
        "explained": pytest.approx(0.09 / 0.81), "n_ceiling": 3, "n_above_ceiling": 1,
        "objective": "contrastive", "loss": 2.0, "training_subjects": ["subj01"], "seed": 3,
        "code": code_version(), "is_simulated": False, "data": v1.data, "trial_id": trial.id,
        "training_id": trial.training_id, "started": "1970-01-01T00:00:00+00:00",
    }  # fmt: skip


def test_what_is_not_known_is_null(tmp_path) -> None:
    write(tmp_path / "runs", Untuned(), roi(), [np.nan, np.nan])
    (row,) = rows(tmp_path)
    unknown = {
        "split", "r", "standard_error", "low", "high", "interval_over",
        "r_median", "r2", "noise_ceiling", "explained", "loss",
        "training_subjects", "trained_on", "seed", "started",
    }  # fmt: skip
    assert {name for name, value in row.items() if value is None} == unknown
    assert (row["n_vertices"], row["n_scored"], row["n_ceiling"]) == (2, 0, 0)


def test_there_is_a_row_for_each_roi_method_and_protocol(tmp_path) -> None:
    write_sweep(tmp_path / "runs")
    found = pd.DataFrame(rows(tmp_path))
    assert len(found) == 2 * 3 * 3 * 2
    keys = ["subject", "hemisphere", "roi", "method", "protocol"]
    assert not found.duplicated(keys).any()


def test_the_command_writes_rois_unless_asked(tmp_path, capsys) -> None:
    write_sweep(tmp_path / "runs")
    out, csv, parquet = tmp_path / "runs", tmp_path / "rois.csv", tmp_path / "rois.parquet"
    for path in (csv, parquet):
        assert main(["--out", str(out), "--export", str(path)]) == 0
        assert "18 rows written" in capsys.readouterr().out
    assert pq.read_table(parquet).schema.equals(TIDY_SCHEMA)
    frame = pd.read_csv(csv)
    assert list(frame.columns) == TIDY_SCHEMA.names
    assert set(frame["protocol"]) == {"nested"}
    assert set(frame.loc[frame["method"] == "regression", "training_subjects"]) == {
        "subj01",
        "subj02",
    }
