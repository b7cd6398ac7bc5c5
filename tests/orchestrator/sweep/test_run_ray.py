"""A sweep on Ray, two trials at a time, and the same command again."""

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from orchestrator.scores.__main__ import main
from tests.builders.sweep_process import Lab, scores_of

SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
    "MY_API_KEY",
)

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_users_own_space_runs_and_scores_every_roi(undisturbed: Path) -> None:
    table = scores_of(undisturbed)
    assert set(table["method"].to_pylist()) == {"untuned", "contrastive"}
    assert table["r"].null_count < table.num_rows


@pytest.fixture(scope="module")
def parallel(sweep_lab: Lab) -> tuple[Path, str]:
    """A sweep of two trials at a time, by a user with secrets: its directory and its output."""
    out = sweep_lab.home / "parallel"
    with pytest.MonkeyPatch.context() as patch:
        for name in SECRETS:
            patch.setenv(name, f"secret-of-{name}")
        log = replace(sweep_lab, dashboard=True).finish(out, "--max-concurrent", "2")
    return out, log


def test_parallel_trials_on_ray_score_as_serial_ones_without_it(
    parallel: tuple[Path, str], undisturbed: Path
) -> None:
    out, log = parallel
    assert scores_of(out).equals(scores_of(undisturbed))
    assert "Ray dashboard: http://127.0.0.1:" in log


def test_a_sweep_writes_and_prints_no_secret(parallel: tuple[Path, str]) -> None:
    out, log = parallel
    files = [*out.rglob("*"), *out.parent.glob(f"{out.name}.*")]
    written = [path.read_bytes() for path in files if path.is_file()]
    assert len(written) > 20
    assert not any(b"secret-of-" in content for content in (*written, log.encode()))


def test_a_sweep_keeps_predictions_that_can_be_tested(
    parallel: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    runs, _ = parallel
    kept = sorted(path.relative_to(runs / "predictions") for path in runs.glob("predictions/*/*"))
    scored = sorted(path.relative_to(runs / "scores") for path in runs.glob("scores/*/*"))
    assert kept == scored
    assert len({path.parent for path in kept}) == 4
    asked = ["--compare", "contrastive", "untuned", "--stats"]
    assert main(["--out", str(runs), *asked]) == 0
    shown = capsys.readouterr().out
    assert "Over test images" in shown
    assert "not available" not in shown


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
