"""Evaluations over the warm workers, by the real command: killed, gone on with, one that fails."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from benchmarks.processes import kill, wait_for
from benchmarks.small_shards import write_shards, write_weights
from orchestrator.evaluate.pairs import evaluations, is_transfer
from tests.builders.listeners import Quiet
from tests.builders.sweep_process import Lab, scores_of
from trainables.data.data_directory import DataDirectory
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone, Encoding, Regression, Trial
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]

OF_ONE = re.compile("transfer-regression subj01 lh V1v.* on subj02")
"""The name of a run in MLflow."""
ENCODING = Encoding(layers=("features.5", "classifier.5"), n_folds=3)


@pytest.fixture
def lab(tmp_path) -> Iterator[Lab]:
    """Three subjects with a model each, and in ``expected`` what evaluating them must give."""
    import torch

    rois = write_shards(tmp_path / "data", ("subj01", "subj02", "subj03"), n_images=60)
    weights = tmp_path / "weights.safetensors"
    backbone = Backbone("narrow-alexnet", write_weights(weights))
    targets = [roi for roi in rois if roi.name == "V1v" and roi.hemisphere == "lh"]
    models = [Trial(Regression(batch_size=32, epochs=1), (c,), backbone, ENCODING) for c in targets]
    before = torch.get_num_threads()
    place = RunContext(
        DataDirectory(tmp_path / "data"), RunDirectory(tmp_path / "expected"), weights
    )
    runner = TrialRunner(place, torch.device("cpu"))
    for model in models:
        runner.run(model, Quiet())
    shutil.copytree(tmp_path / "expected", tmp_path / "runs")
    for one in evaluations(models, targets, is_transfer, exclude_training_images=False):
        runner.run(one, Quiet())
    torch.set_num_threads(before)
    lab = Lab(tmp_path)
    yield lab
    lab.end()


def written(runs: Path) -> list[Path]:
    return sorted(runs.glob("scores/transfer-*/[!.]*.parquet"))


def test_a_killed_evaluation_goes_on_skips_what_is_done_and_fails_only_what_must(lab) -> None:
    runs, log = lab.home / "runs", lab.home / "runs.log"
    for weights in runs.glob("checkpoints/regression-nsd-subj03-*/*.safetensors"):
        weights.write_bytes(b"")
    process = lab.start_command(runs, "evaluate", "transfer", "--max-concurrent", "1")
    wait_for(lambda: len(written(runs)) >= 1, "a first pair", timeout=200)
    kill({process.pid})
    process.wait(10)
    n_done = len(written(runs))
    before = {path: path.stat().st_mtime_ns for path in written(runs)[:n_done]}
    assert n_done < 4

    flags = ("--max-concurrent", "1", "--retries", "0")
    again = lab.start_command(runs, "evaluate", "transfer", *flags)
    assert again.wait(200) == 1, log.read_text()
    message = log.read_text()
    assert "2 evaluations failed; run the same command to retry them:" in message
    assert re.search(
        r"last\.json: no usable checkpoint \([^)]+\); remove the scores of its", message
    )
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert "transfer-regression, early, protocol nested: mean r" in message
    assert len(written(runs)) == 4

    failures = [path for path in runs.glob("trials/transfer-*.json") if _status(path) == "failed"]
    assert len(failures) == 2
    for path in failures:
        outcome = Outcome.read(RunDirectory(runs), path.stem)
        assert outcome is not None
        assert "no usable checkpoint" in str(outcome.error)
    _check_scores_and_runs(lab)


def _status(path: Path) -> str:
    return str(json.loads(path.read_text())["status"])


def _check_scores_and_runs(lab: Lab) -> None:
    """The workers' scores are those of a runner in this process, and MLflow has a run for each."""
    found = scores_of(lab.home / "runs").to_pylist()
    wanted = scores_of(lab.home / "expected").to_pylist()
    keep = {row["trial_id"] for row in found}
    assert found == [row for row in wanted if row["trial_id"] in keep]
    client = MlflowClient(f"sqlite:///{lab.home / 'runs'}.db")
    runs = client.search_runs([client.get_experiment_by_name("nsd").experiment_id])
    by_name = {run.info.run_name: run for run in runs}
    assert len(by_name) == 1 + 6
    assert by_name["evaluate transfer"].info.status == "KILLED"  # not complete
    [one] = [run for name, run in by_name.items() if OF_ONE.fullmatch(name)]
    assert one.data.params["method"] == "transfer-regression"
    assert one.data.params["trained_on"] == "nsd-subj01-lh-V1v"
    assert one.data.params["model_roi"] == "V1v"
    assert one.data.metrics["n_overlap"] == 0
    assert "nested_r_mean.lh-V1v" in one.data.metrics
