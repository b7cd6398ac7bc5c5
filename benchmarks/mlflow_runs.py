"""Measure writing trials to MLflow and searching them: SQLite, PostgreSQL, and the server.

python -m benchmarks.mlflow_runs [--runs 1000] [--stores sqlite postgresql server]
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from mlflow import MlflowClient

from benchmarks.mlflow_server import served
from benchmarks.small_shards import write_shards
from orchestrator.mlflow_server.postgres import postgres
from orchestrator.tracking.background import start_tracker
from orchestrator.tracking.identity import Sweep
from orchestrator.tracking.mlflow_runs import PARENT, Mirror
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import list_rois
from trainables.encoding.score_rois import RoiScores
from trainables.results.epoch_report import EpochReport
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import write_scores
from trainables.spec import Contrastive, Roi, Trial

STORES: Final = ("sqlite", "postgresql", "server")
EPOCHS: Final = 30


@dataclass(frozen=True)
class Measured:
    """Times of one store."""

    store: str
    runs: int
    logging: float
    """Seconds for all runs."""
    search: float
    """Seconds to search all runs, with all their metrics."""
    filtered: float
    """Seconds to find one by its trial's id."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.chmod(0o755)  # PostgreSQL runs as its own user, which needs access
        trials = _finish(home, options.runs)
        print("| store | runs | runs/s | search all, s | search one, s |")
        print("|---|---|---|---|---|")
        for store in options.stores:
            with _running(store, home) as uri:
                one = _measure(store, uri, home, trials)
            rate = one.runs / one.logging
            print(f"| {store} | {one.runs} | {rate:.1f} | {one.search:.2f} | {one.filtered:.2f} |")


def _finish(home: Path, n: int) -> list[Trial]:
    """Write the files of n finished trials, with 30 epochs each."""
    data = DataDirectory(home / "data")
    write_shards(data.path)
    roi = list_rois(data)[0]
    trials = [Trial(Contrastive(), (roi,), seed=seed) for seed in range(n)]
    history = tuple(EpochReport(k, 2.0 / k, 3.0, 100.0, 0.1, 9.0) for k in range(1, EPOCHS + 1))
    for trial in trials:
        write_scores(RunDirectory(home / "runs"), trial, [_scores(roi)])
        seconds = {"reading": 1.0, "finetuning": 9.0, "encoding": 2.0}
        outcome = Outcome(trial, "finished", "node-1", "cpu", 1.7e9, seconds, history)
        outcome.write(RunDirectory(home / "runs"))
    return trials


def _scores(roi: Roi) -> RoiScores:
    n = roi.n_vertices
    r = np.linspace(0.0, 0.5, n)
    return RoiScores(
        roi=roi,
        protocol="nested",
        layer="features.2",
        layers=("features.2",),
        vertex=np.arange(n, dtype=np.int32),
        alpha=np.full(n, 10.0),
        r=r,
        r_by_layer=r[None],
        choice_by_layer=r[None],
        n_test=15,
    )


@contextmanager
def _running(store: str, home: Path) -> Iterator[str]:
    if store == "sqlite":
        yield f"sqlite:///{home}/mlflow.db"
    elif store == "postgresql":
        with postgres(home / "alone" / "postgres", "a-password") as found:
            yield found["mlflow"]
    else:
        with served(home / "mlflow-server") as server:
            os.environ.update(server.client)
            yield server.client["MLFLOW_TRACKING_URI"]


def _measure(store: str, uri: str, home: Path, trials: list[Trial]) -> Measured:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    sweep = Sweep(
        "bench", "paper", DataDirectory(home / "data"), RunDirectory(home / "runs"), "0123"
    )
    start_tracker(sweep, print).close(complete=True)  # creates the schema, as a sweep does
    mirror, started = Mirror(sweep, uri), time.perf_counter()
    for trial in trials:
        mirror.write(trial.id)
    logged = time.perf_counter()
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("bench")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], max_results=len(trials) + 10)
    searched = time.perf_counter()
    assert sum(PARENT in run.data.tags for run in found) == len(trials)
    rule = f"tags.trial_id = '{trials[-1].id}'"
    [_] = client.search_runs([experiment.experiment_id], rule)
    end = time.perf_counter()
    return Measured(store, len(trials), logged - started, searched - logged, end - searched)


if __name__ == "__main__":
    main()
