"""What MLflow holds of a sweep: parents, children, metrics, tags and files."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from benchmarks.small_shards import write_shards
from orchestrator.tracking.identity import Sweep
from orchestrator.tracking.mlflow_runs import PARENT, Mirror
from orchestrator.tracking.mlflow_store import StoreError, find_experiment, make_store
from tests.builders.file_systems import refuse_links
from tests.builders.mirrored_runs import HISTORY, finetuned, finish, rois, runs_of
from trainables.data.data_directory import DataDirectory
from trainables.results.outcome import Outcome
from trainables.results.score_files import read_scores, summarise
from trainables.spec import Pooled, Trial, Untuned


def only_child(sweep: Sweep, store: str):
    [child] = runs_of(sweep, store)[1]
    return child


def history_of(store: str, run_id: str, metric: str) -> list[tuple[int, float]]:
    found = MlflowClient(tracking_uri=store).get_metric_history(run_id, metric)
    return [(point.step, point.value) for point in found]


@pytest.mark.slow
def test_a_trial_is_a_child_run_of_its_sweep(sweep, store) -> None:
    trial = finetuned(sweep)
    finish(sweep, trial)
    mirror = Mirror(sweep, store)
    mirror.write(trial.id)
    mirror.close(complete=True)
    [parent], [child] = runs_of(sweep, store)
    assert parent.data.tags["space"] == "paper"
    assert parent.data.tags["dataset_fingerprint"] == "0123"
    assert parent.info.status == "FINISHED"
    assert child.data.tags[PARENT] == parent.info.run_id
    assert child.info.run_name == trial.id
    assert child.info.status == "FINISHED"
    assert child.info.start_time == 1_700_000_000_000
    assert child.info.end_time == 1_700_000_012_000


@pytest.mark.slow
def test_a_run_has_its_parameters_and_tags(sweep, store) -> None:
    trial = finetuned(sweep)
    finish(sweep, trial)
    Mirror(sweep, store).write(trial.id)
    child = only_child(sweep, store)
    expected = {
        "method": "contrastive",
        "subject": "subj01",
        "hemisphere": "lh",
        "roi": "V1v",
        "backbone": "alexnet",
        "weights": "IMAGENET1K_V1",
        "seed": "0",
        "learning_rate": "0.0002",
        "temperature": "0.3",
        "encoding_n_components": "1000",
    }
    assert expected.items() <= child.data.params.items()
    expected = {
        "trial_id": trial.id,
        "training_id": trial.training_id,
        "split": "paper",
        "protocol": "nested",
        "status": "finished",
        "host": "node-1",
        "device": "cpu",
        "nested_layer": "features.2",
    }
    assert expected.items() <= child.data.tags.items()


@pytest.mark.slow
def test_metrics_are_by_epoch_and_the_scores_at_the_end(sweep, store) -> None:
    trial = finetuned(sweep)
    finish(sweep, trial)
    Mirror(sweep, store).write(trial.id)
    child = only_child(sweep, store)
    assert history_of(store, child.info.run_id, "loss") == [(1, 2.0), (2, 1.5), (3, 1.0)]
    assert history_of(store, child.info.run_id, "retrieval_top1") == [(1, 0.25), (2, 0.5)]
    summary = summarise(read_scores(sweep.runs, trial.id))
    found = child.data.metrics
    assert {name: found[name] for name in summary} == pytest.approx(summary)
    assert found["seconds_finetuning"] == 9.0


@pytest.mark.slow
def test_artifacts_are_the_scores_the_manifest_and_where_the_checkpoint_is(sweep, store) -> None:
    trial = finetuned(sweep)
    finish(sweep, trial)
    note = sweep.runs.checkpoints(trial.training_id).path / "last.json"
    note.parent.mkdir(parents=True)
    files = {"epoch": 1, "model": "m", "optimizer": None, "sha256": {"m": "0" * 64}}
    history = [asdict(report) for report in HISTORY[:1]]
    note.write_text(json.dumps({**files, "history": history}))
    Mirror(sweep, store).write(trial.id)
    client, run_id = MlflowClient(tracking_uri=store), only_child(sweep, store).info.run_id
    assert {item.path for item in client.list_artifacts(run_id)} == {
        "scores",
        "manifest.json",
        "checkpoint.json",
    }
    [scores] = client.list_artifacts(run_id, "scores")
    assert scores.path == f"scores/{trial.rois[0].id}.parquet"
    downloaded = Path(client.download_artifacts(run_id, "checkpoint.json"))
    assert json.loads(downloaded.read_text())["directory"] == str(note.parent)


@pytest.mark.slow
def test_a_pooled_trial_is_one_run_with_all_its_subjects(sweep, store) -> None:
    data = sweep.data.path.with_name("two")
    alike = [c for c in write_shards(data, ("subj01", "subj02")) if c.id.endswith("lh-V1v")]
    sweep = replace(sweep, data=DataDirectory(data))
    trial = Trial(Pooled(hidden_dim=64), tuple(alike))
    finish(sweep, trial)
    Mirror(sweep, store).write(trial.id)
    child = only_child(sweep, store)
    expected = {"method": "pooled-const", "subject": "subj01,subj02", "hemisphere": "lh",
                "roi": "V1v", "hidden_dim": "64", "order": "sequential"}  # fmt: skip
    assert expected.items() <= child.data.params.items()
    assert child.data.tags["split"] == "paper"
    assert "nested_layer" not in child.data.tags
    for subject in ("subj01", "subj02"):
        assert child.data.metrics[f"nested_r_mean.{subject}-lh-V1v"] == pytest.approx(0.5)
    names = {item.path for item in MlflowClient(store).list_artifacts(child.info.run_id)}
    assert {"nsd-subj01-manifest.json", "nsd-subj02-manifest.json", "scores"} <= names


@pytest.mark.slow
def test_writing_twice_changes_nothing(sweep, store) -> None:
    trial = finetuned(sweep)
    finish(sweep, trial)
    for _ in range(2):
        mirror = Mirror(sweep, store)
        mirror.write(trial.id)
        mirror.write(trial.id)
    [_], [child] = runs_of(sweep, store)
    assert len(history_of(store, child.info.run_id, "loss")) == 3
    assert len(history_of(store, child.info.run_id, "nested_r_mean")) == 1


@pytest.mark.slow
def test_a_mirror_that_died_before_it_noted_its_work_doubles_nothing(sweep, store) -> None:
    trial = finetuned(sweep)
    finish(sweep, trial)
    Mirror(sweep, store).write(trial.id)
    child = only_child(sweep, store)
    MlflowClient(tracking_uri=store).delete_tag(child.info.run_id, "mirrored")
    Mirror(sweep, store).write(trial.id)
    again = only_child(sweep, store)
    assert again.info.run_id == child.info.run_id
    assert len(history_of(store, child.info.run_id, "loss")) == 3
    assert len(history_of(store, child.info.run_id, "nested_r_mean")) == 1


@pytest.mark.slow
def test_an_untuned_trial_with_more_rois_later_updates_its_run(sweep, store) -> None:
    first, second = (Trial(Untuned(), (roi,)) for roi in rois(sweep)[:2])
    finish(sweep, first, r=0.2)
    Mirror(sweep, store).write(first.id)
    before = only_child(sweep, store)
    assert before.data.metrics["nested_r_mean"] == pytest.approx(0.2)
    finish(sweep, second, started=1.8e9, r=0.6)
    Mirror(sweep, store).write(second.id)
    after = only_child(sweep, store)
    assert after.info.run_id == before.info.run_id
    assert after.info.status == "FINISHED"
    assert after.data.metrics["nested_n_vertices"] == 14
    assert after.data.metrics["nested_r_mean.lh-V1v"] == pytest.approx(0.2)
    assert after.data.metrics["nested_r_mean.lh-V2d"] == pytest.approx(0.6)


@pytest.mark.slow
def test_a_failed_trial_is_logged_with_its_error_and_later_finishes_in_the_same_run(
    sweep, store
) -> None:
    trial = finetuned(sweep)
    error = "Traceback …\nValueError: no"
    failure = Outcome(trial, "failed", "", "", 1.6e9, {}, error=error, error_kind="input")
    failure.write(sweep.runs)
    mirror = Mirror(sweep, store)
    mirror.write(trial.id)
    failed = only_child(sweep, store)
    assert failed.info.status == "FAILED"
    assert (failed.data.tags["error"], failed.data.tags["error_kind"]) == (error, "input")
    finish(sweep, trial)
    mirror.write(trial.id)
    finished = only_child(sweep, store)
    assert finished.info.run_id == failed.info.run_id
    assert finished.info.status == "FINISHED"
    assert finished.data.tags["status"] == "finished"
    assert (finished.data.tags["error"], finished.data.tags["error_kind"]) == ("", "")


@pytest.mark.slow
def test_a_trial_without_an_outcome_is_not_written(sweep, store) -> None:
    Mirror(sweep, store).write("never")
    assert runs_of(sweep, store)[1] == []


@pytest.mark.slow
def test_another_space_into_the_same_experiment_is_another_parent(sweep, store) -> None:
    Mirror(sweep, store)
    Mirror(replace(sweep, space="demo"), store)
    Mirror(sweep, store)
    assert len(runs_of(sweep, store)[0]) == 2


@pytest.mark.parametrize("has_links", [True, False])
def test_a_store_whose_making_was_cut_is_made_anew(tmp_path, monkeypatch, has_links) -> None:
    if not has_links:
        refuse_links(monkeypatch)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"

    class Killed(BaseException):
        pass

    class Dying(MlflowClient):
        def search_experiments(self, *arguments, **named):
            super().search_experiments(*arguments, **named)
            raise Killed

    monkeypatch.setattr("mlflow.MlflowClient", Dying)
    with pytest.raises(Killed):
        make_store(uri)
    assert not (tmp_path / "mlflow.db").exists()
    monkeypatch.setattr("mlflow.MlflowClient", MlflowClient)
    make_store(uri)
    made = (tmp_path / "mlflow.db").stat().st_ino
    make_store(uri)
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    assert (tmp_path / "mlflow.db").stat().st_ino == made
    assert MlflowClient(uri).create_experiment("after") == "1"


@pytest.mark.slow
def test_a_deleted_experiment_is_restored_with_its_runs(sweep, store) -> None:
    trial, other = finetuned(sweep), finetuned(sweep, 1)
    finish(sweep, trial)
    Mirror(sweep, store).write(trial.id)
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name(sweep.experiment)
    client.delete_experiment(experiment.experiment_id)
    finish(sweep, other)
    mirror = Mirror(sweep, store)
    mirror.write(trial.id)
    mirror.write(other.id)
    [_], children = runs_of(sweep, store)
    assert {child.data.tags["trial_id"] for child in children} == {trial.id, other.id}
    assert client.get_experiment(experiment.experiment_id).lifecycle_stage == "active"


class Experiments:
    """A client of a store that has one experiment, in some state."""

    def __init__(self, stage: str | None, *, allowed: bool = True) -> None:
        self.stage = stage
        self.allowed = allowed

    def get_experiment_by_name(self, name: str):
        return self.stage and SimpleNamespace(experiment_id="7", lifecycle_stage=self.stage)

    def create_experiment(self, name: str) -> str:
        self.stage = "active"
        raise MlflowException("RESOURCE_ALREADY_EXISTS")

    def restore_experiment(self, number: str) -> None:
        if not self.allowed:
            raise MlflowException("Permission denied\nwith details")
        self.stage = "active"


def test_an_experiment_that_another_command_makes_first_is_used() -> None:
    assert find_experiment(Experiments(None), "nsd") == "7"


def test_an_experiment_that_may_not_be_restored_is_reported_with_the_cure() -> None:
    cure = r"experiment 'nsd' is deleted .*\(Permission denied\).*--experiment another name"
    with pytest.raises(StoreError, match=cure):
        find_experiment(Experiments("deleted", allowed=False), "nsd")
    assert find_experiment(Experiments("deleted"), "nsd") == "7"
