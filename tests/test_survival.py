"""What a machine does to a sweep: processes killed in the midst, and the same command again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.faults.storm import schedule, storms
from tests.sweep_process import Lab, scores_of

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab.make(tmp_path_factory.mktemp("lab"), epochs=30)
    yield lab
    lab.end()


@pytest.fixture(scope="module")
def undisturbed(lab: Lab) -> Path:
    """One sweep that nothing happened to: a user's own space, from outside the repository."""
    out = lab.home / "undisturbed"
    log = lab.finish(out)
    assert "0 done" in log
    return out


def test_a_users_own_space_runs_and_scores_every_cell(undisturbed: Path) -> None:
    table = scores_of(undisturbed)
    assert set(table["method"].to_pylist()) == {"untuned", "contrastive"}
    assert table["r"].null_count < table.num_rows


def test_parallel_equals_serial(lab: Lab, undisturbed: Path) -> None:
    out = lab.home / "serial"
    lab.finish(out, "--max-concurrent", "1")
    assert scores_of(out).equals(scores_of(undisturbed))


def test_a_finished_sweep_run_again_does_nothing_and_logs_nothing_twice(
    lab: Lab, undisturbed: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.glob("scores/*/*.parquet")}
    log = lab.finish(undisturbed)
    assert "0 to run" in log
    assert before == {
        path: path.stat().st_mtime_ns for path in undisturbed.glob("scores/*/*.parquet")
    }
    client = MlflowClient(f"sqlite:///{undisturbed}.db")
    runs = client.search_runs([client.get_experiment_by_name("nsd").experiment_id])
    n_trials = len(list(undisturbed.glob("trials/*.json")))
    assert len(runs) == n_trials + 1
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_dozen_faults_lose_nothing_do_nothing_twice_and_leave_nothing_behind(
    lab: Lab, undisturbed: Path
) -> None:
    passed = []
    for storm in storms(lab, schedule(12, seed=0), seed=0):
        assert scores_of(storm.out).equals(scores_of(undisturbed))
        passed.append(storm)
    assert sum(len(storm.records) for storm in passed) == 12
    assert [one for storm in passed for one in storm.left_behind()] == []
