"""Finished trials of a sweep, and what an MLflow store holds of them."""

from collections.abc import Iterator
from uuid import uuid4

import numpy as np
import pytest
from mlflow import MlflowClient

from benchmarks.small_shards import write_shards
from orchestrator.tracking.identity import Sweep
from orchestrator.tracking.mlflow_runs import PARENT
from trainables.data.data_directory import DataDirectory
from trainables.encoding.score_rois import RoiScores
from trainables.results.epoch_report import EpochReport
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import write_scores
from trainables.spec import Contrastive, Roi, Trial

HISTORY = (
    EpochReport(1, 2.0, 3.0, 100.0, 0.25, 4.0),
    EpochReport(2, 1.5, 3.0, 110.0, 0.5, 2.0),
    EpochReport(3, 1.0, 3.0, 120.0),
)
SECONDS = {"reading": 1.0, "finetuning": 9.0, "encoding": 2.0}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[str]:
    """One SQLite store for the module; artifacts go beside it."""
    home = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        uri = f"sqlite:///{home}/mlflow.db"
        MlflowClient(tracking_uri=uri).search_experiments()  # makes the schema
        yield uri


@pytest.fixture
def sweep(tmp_path) -> Sweep:
    """A sweep of its own in an experiment of its own."""
    write_shards(tmp_path / "data")
    return Sweep(
        f"nsd-{uuid4().hex}",
        "paper",
        DataDirectory(tmp_path / "data"),
        RunDirectory(tmp_path / "runs"),
        "0123",
    )


def rois(sweep: Sweep) -> list[Roi]:
    from trainables.data.shards import list_rois

    return list_rois(sweep.data)


def finish(sweep: Sweep, trial: Trial, started: float = 1.7e9, r: float = 0.5) -> Outcome:
    """Write a trial's files as a worker would."""
    for roi in trial.rois:
        n = roi.n_vertices
        scores = RoiScores(
            roi=roi,
            protocol="nested",
            layer="features.2",
            layers=("features.2",),
            vertex=np.arange(n, dtype=np.int32),
            alpha=np.full(n, 10.0),
            r=np.linspace(r - 0.1, r + 0.1, n),
            r_by_layer=np.linspace(r - 0.1, r + 0.1, n)[None],
            choice_by_layer=np.full((1, n), 0.1),
            n_test=15,
        )
        write_scores(sweep.runs, trial, [scores])
    history = () if trial.method == "untuned" else HISTORY
    outcome = Outcome(trial, "finished", "node-1", "cpu", started, SECONDS, history)
    outcome.write(sweep.runs)
    return outcome


def finetuned(sweep: Sweep, roi: int = 0) -> Trial:
    return Trial(Contrastive(learning_rate=2e-4), (rois(sweep)[roi],))


def runs_of(sweep: Sweep, store: str) -> tuple[list, list]:
    """Return an experiment's parent runs and child runs."""
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name(sweep.experiment)
    found = client.search_runs([experiment.experiment_id])
    children = [run for run in found if PARENT in run.data.tags]
    return [run for run in found if run not in children], children
