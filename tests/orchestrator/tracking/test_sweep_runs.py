"""MLflow's runs of a sweep: found again by the directory's identity, and what the parent holds."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from orchestrator.tracking import report_artifact
from orchestrator.tracking.identity import identity_of
from orchestrator.tracking.mlflow_runs import Mirror
from orchestrator.tracking.report_artifact import log_report
from tests.builders.mirrored_runs import finetuned, finish, runs_of
from trainables.results.run_directory import RunDirectory
from trainables.spec.setting import setting_of


def test_a_copied_directory_continues_its_runs_and_one_made_anew_has_others(
    sweep, store, tmp_path
) -> None:
    trial = finetuned(sweep)
    finish(sweep, trial)
    named = replace(sweep, names={trial.id: "contrastive subj01 lh V1v τ=0.3 seed 2"})
    Mirror(named, store).write(trial.id)
    shutil.copytree(tmp_path / "runs", tmp_path / "copy")
    Mirror(replace(sweep, runs=RunDirectory(tmp_path / "copy")), store).write(trial.id)
    [_], [child] = runs_of(sweep, store)
    assert child.info.run_name == "contrastive subj01 lh V1v τ=0.3 seed 2"
    assert len(MlflowClient(tracking_uri=store).get_metric_history(child.info.run_id, "loss")) == 3
    tags = child.data.tags
    assert tags["setting"] == setting_of(trial).digest
    assert tags["setting.temperature"] == "0.3"
    shutil.rmtree(tmp_path / "runs")
    finish(sweep, trial, started=1.8e9)
    Mirror(sweep, store).write(trial.id)
    parents, children = runs_of(sweep, store)
    assert (len(parents), len(children)) == (2, 2)


def test_the_parent_has_counts_scores_the_command_and_the_space(sweep, store, tmp_path) -> None:
    space = tmp_path / "mine.py"
    space.write_text("def trials(rois): ...\n")
    finish(sweep, finetuned(sweep))
    line = "python -m orchestrator.sweep mine.py --data DATA"
    mirror = Mirror(replace(sweep, source=space, command_line=line), store)
    mirror.summarise({"n_finished": 1.0, "nested_r_mean contrastive temperature=0.1 all": 0.5})
    mirror.close(complete=True)
    [parent] = runs_of(sweep, store)[0]
    assert parent.data.metrics == {
        "n_finished": 1.0,
        "nested_r_mean contrastive temperature:0.1 all": 0.5,
    }
    assert parent.data.tags["command_line"] == line
    client, run_id = MlflowClient(tracking_uri=store), parent.info.run_id
    assert [item.path for item in client.list_artifacts(run_id, "space")] == ["space/mine.py"]


@pytest.mark.parametrize("by_client", [False, True])
def test_a_report_is_an_artifact_of_the_sweeps_of_its_directory(
    sweep, store, tmp_path, monkeypatch, by_client
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    if by_client:
        monkeypatch.setattr(report_artifact, "QUERY", "SELECT of_another_version FROM runs")
    else:
        monkeypatch.delattr(report_artifact, "_log_by_client")
    page = tmp_path / "report.html"
    page.write_text("<html>")
    identity_of(sweep.runs)
    client = MlflowClient(tracking_uri=store)
    assert client.search_experiments()  # makes the store
    assert log_report(sweep.runs, page) == 0  # nothing was mirrored
    for experiment in (sweep.experiment, f"{sweep.experiment}-2", "of a deleted run"):
        mirror = Mirror(replace(sweep, experiment=experiment), store)
        mirror.close(complete=True)
    client.delete_run(mirror._parent)
    Mirror(replace(sweep, runs=RunDirectory(tmp_path / "other")), store).close(complete=True)
    for text in ("<html>", "<html>anew"):
        page.write_text(text)
        assert log_report(sweep.runs, page) == 2
    numbers = [one.experiment_id for one in client.search_experiments()]
    tag = f"tags.run_directory = '{identity_of(sweep.runs)}'"
    found = client.search_runs(numbers, tag)
    assert len(found) == 2
    for run in found:
        items = client.list_artifacts(run.info.run_id, "report")
        assert [item.path for item in items] == ["report/report.html"]
        copied = client.download_artifacts(run.info.run_id, "report/report.html", str(tmp_path))
        assert Path(copied).read_text() == "<html>anew"
        assert run.info.status == "FINISHED"


def test_a_report_makes_no_store_where_there_is_none(sweep, tmp_path, monkeypatch) -> None:
    identity_of(sweep.runs)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    assert log_report(sweep.runs, tmp_path / "report.html") == 0
    assert not (tmp_path / "none.db").exists()
