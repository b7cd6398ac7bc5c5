"""What a machine does to a sweep: processes killed in the midst, and the same command again."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.sweep_process import Lab, alive, descendants, kill, scores_of, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab.make(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.end()


@pytest.fixture(scope="module")
def undisturbed(lab: Lab) -> Path:
    """One sweep that nothing happened to: a user's own space, from outside the repository."""
    out = lab.home / "undisturbed"
    log = lab.finish(out)
    assert "0 done" in log
    return out


def half_trained(out: Path) -> bool:
    return any(out.glob("checkpoints/*/last.json"))


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


def test_a_killed_worker_is_replaced_and_its_trial_resumes(lab: Lab, undisturbed: Path) -> None:
    out = lab.home / "killed-worker"
    process = lab.start(out)
    wait_for(lambda: half_trained(out), "a checkpoint")
    workers = {pid for pid, title in descendants(process.pid).items() if "RayTrainWorker" in title}
    assert workers
    kill(workers)
    assert process.wait(400) == 0, (lab.home / "killed-worker.log").read_text()
    assert scores_of(out).equals(scores_of(undisturbed))


def test_a_killed_driver_leaves_no_process_and_the_same_command_goes_on(
    lab: Lab, undisturbed: Path
) -> None:
    out = lab.home / "killed-driver"
    process = lab.start(out, "--max-concurrent", "1")
    wait_for(lambda: half_trained(out), "a checkpoint")
    below = set(descendants(process.pid))
    kill({process.pid})
    process.wait(10)
    lab.finish(out, "--max-concurrent", "1")
    # Two of Ray's own agents notice only after a minute that their node is gone.
    wait_for(lambda: not alive(below), "Ray's processes to end", timeout=150)
    assert scores_of(out).equals(scores_of(undisturbed))


def test_everything_killed_at_once_loses_nothing(lab: Lab, undisturbed: Path) -> None:
    out = lab.home / "killed-all"
    process = lab.start(out, "--max-concurrent", "1")
    wait_for(lambda: half_trained(out), "a checkpoint")
    kill({process.pid, *descendants(process.pid)})
    process.wait(10)
    checkpoint = next(out.glob("checkpoints/*/last.json"))
    epochs_before = json.loads(checkpoint.read_text())["epoch"]
    lab.finish(out, "--max-concurrent", "1")
    assert json.loads(checkpoint.read_text())["epoch"] >= epochs_before
    assert scores_of(out).equals(scores_of(undisturbed))


def test_ctrl_c_stops_quickly_and_the_same_command_goes_on(lab: Lab, undisturbed: Path) -> None:
    out = lab.home / "interrupted"
    process = lab.start(out, "--max-concurrent", "1")
    wait_for(lambda: half_trained(out), "a checkpoint")
    below = set(descendants(process.pid))
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, (lab.home / "interrupted.log").read_text()
    assert "Traceback" not in (lab.home / "interrupted.log").read_text()
    lab.finish(out, "--max-concurrent", "1")
    wait_for(lambda: not alive(below), "Ray's processes to end", timeout=150)
    assert scores_of(out).equals(scores_of(undisturbed))
