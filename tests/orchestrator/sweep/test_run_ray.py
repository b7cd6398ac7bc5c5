"""A sweep on Ray, two trials at a time, and the same command again."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.builders.sweep_process import Lab, scores_of

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_users_own_space_runs_and_scores_every_roi(undisturbed: Path) -> None:
    table = scores_of(undisturbed)
    assert set(table["method"].to_pylist()) == {"untuned", "contrastive"}
    assert table["r"].null_count < table.num_rows


def test_parallel_trials_on_ray_score_as_serial_ones_without_it(
    sweep_lab: Lab, undisturbed: Path
) -> None:
    out = sweep_lab.home / "parallel"
    sweep_lab.finish(out, "--max-concurrent", "2")
    assert scores_of(out).equals(scores_of(undisturbed))


def test_a_finished_sweep_run_again_does_nothing_and_logs_nothing_twice(
    sweep_lab: Lab, undisturbed: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.glob("scores/*/*.parquet")}
    log = sweep_lab.finish(undisturbed, "--local")
    assert "0 to run" in log
    assert before == {
        path: path.stat().st_mtime_ns for path in undisturbed.glob("scores/*/*.parquet")
    }
    client = MlflowClient(f"sqlite:///{undisturbed}.db")
    runs = client.search_runs([client.get_experiment_by_name("nsd").experiment_id])
    n_trials = len(list(undisturbed.glob("trials/*.json")))
    assert len(runs) == n_trials + 1
    assert {run.info.status for run in runs} == {"FINISHED"}
