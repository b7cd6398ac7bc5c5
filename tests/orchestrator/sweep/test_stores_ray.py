"""The stores that labs have: a sweep on PostgreSQL and S3 equals one on SQLite and a local disk."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from mlflow import MlflowClient

from benchmarks.mlflow_server import Server, missing, served
from benchmarks.processes import wait_for
from orchestrator.scores.score_table import read_score_table
from orchestrator.sweep.__main__ import main as operate
from tests.builders.s3_server import BUCKET, s3
from tests.builders.sweep_process import Lab, scores_of
from trainables.results.run_directory import RunDirectory
from trainables.storage.s3_mirror import place, pull

LACKS = missing()
pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(LACKS is not None, reason=f"PostgreSQL not tested: {LACKS}"),
]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # A pytest that starts elsewhere closes pytest's own directories to PostgreSQL's user.
    with (
        s3(),
        TemporaryDirectory(prefix="mlflow-") as home,
        served(Path(home) / "mlflow-server", f"s3://{BUCKET}/artifacts") as one,
    ):
        for name, value in one.client.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / "cache"))
        yield one


def test_postgresql_and_s3_equal_sqlite_and_a_local_disk(
    sweep_lab: Lab,
    undisturbed: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, out = f"s3://{BUCKET}/data", f"s3://{BUCKET}/runs"
    upload(sweep_lab.home / "data", place(data))
    tracking = server.client["MLFLOW_TRACKING_URI"]
    process = sweep_lab.start_at(out, data, tracking, "--local", "--keep", "every")
    mirrored = place(out)
    wait_for(lambda: any(mirrored.glob("checkpoints/*/last.json")), "a checkpoint")
    process.kill()  # and the same sweep on another machine, with workers of their own
    process.wait()
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / "elsewhere"))
    process = sweep_lab.start_at(out, data, tracking)
    assert process.wait(400) == 0, sweep_lab.log_of(out)
    assert f"scores: {out}/scores" in sweep_lab.log_of(out)

    monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / "third"))
    assert operate(["status", "--out", out]) == 0
    assert "4 of 4 trials done" in capsys.readouterr().out
    pull(place(out))
    assert scores_of(place(out)).equals(scores_of(undisturbed))
    assert len(read_score_table(RunDirectory(place(out))).trials) == 4

    client = MlflowClient(tracking)
    experiment = client.get_experiment_by_name("nsd")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.trial_id != ''")
    assert len(runs) == 4
    assert runs[0].info.artifact_uri.startswith("mlflow-artifacts:")
    assert client.list_artifacts(runs[0].info.run_id, "log") != []


def upload(source: Path, target: Path) -> None:
    """Put a data directory into S3 as ``aws s3 sync`` would."""
    from trainables.storage.s3_mirror import upload as put

    for path in sorted(source.rglob("*")):
        if path.is_file():
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            put(path, target / path.relative_to(source))
    shutil.rmtree(target)
    assert json.loads(next(source.glob("*/manifest.json")).read_text())["n_images"] == 90
