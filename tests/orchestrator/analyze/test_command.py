"""The analyze command: refusals, tables and their place in MLflow, and a second run."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from orchestrator.analyze.__main__ import main
from orchestrator.analyze.catalogue import ANALYSES
from tests.builders.small_scores import write_rois


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished sweep's scores and data, as a user stands before them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    write_rois(tmp_path / "data", tmp_path / "runs")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["salienc"], "salienc"),
        (["--out", "nowhere"], "nowhere: no such directory; give --out"),
        (["classification", "--task", "cifar"], "--task cifar: not in"),
    ],
    ids=["unknown analysis", "no sweep", "unknown task"],
)
def test_bad_input_is_one_line_and_exit_code_2(
    swept: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not (swept / "runs" / "analyses").exists()


def test_tables_are_made_once_and_logged_to_one_run(
    swept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["improvement", "transfer"]) == 0
    shown = capsys.readouterr().out
    assert "made" in shown
    assert "skipped" in shown
    assert "orchestrator.evaluate transfer" in " ".join(shown.split())
    table = swept / "runs" / "analyses" / "improvement.parquet"
    written = table.stat().st_mtime_ns
    assert main(["improvement"]) == 0
    assert "unchanged" in capsys.readouterr().out
    assert table.stat().st_mtime_ns == written
    client = MlflowClient(f"sqlite:///{swept}/mlflow.db")
    experiment = client.get_experiment_by_name("nsd")
    [run] = client.search_runs([experiment.experiment_id])
    [artifact] = client.list_artifacts(run.info.run_id, "analyses")
    assert artifact.path == "analyses/improvement.parquet"


def test_the_analyses_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{one.name} " in shown for one in ANALYSES)
    assert len(ANALYSES) == 14
