"""The disk space of a plan against the files that its trials write, and what is said of it."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from orchestrator.execution import disk
from orchestrator.execution.cost import GIB, Costs
from orchestrator.execution.disk import DiskNeed
from orchestrator.execution.plan import Plan
from tests.builders.tiny_runs import CONTRASTIVE, Listener, place, without_ray
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory

__all__ = ["place", "without_ray"]
pytestmark = pytest.mark.usefixtures("without_ray")
UNMEASURED = replace(CONTRASTIVE, validation=0.0)
VALIDATED = replace(CONTRASTIVE, validation=0.2)


def need(place, trials, keep="best", *, keep_predictions=True) -> DiskNeed:
    costs = Costs.read(DataDirectory(place.home / "data"), gpus=False)
    plan = Plan(tuple(trials), tuple(trials))
    return DiskNeed.of(plan, costs, keep, keep_predictions=keep_predictions)


def test_the_estimate_is_the_size_of_what_trials_write(place) -> None:
    trials = [place.trial(UNMEASURED), place.untuned(0)]
    for trial in trials:
        place.runner().run(trial, Listener())
    runs = RunDirectory(place.home / "runs")
    weights = sum(path.stat().st_size for path in runs.path.glob("checkpoints/*/*.safetensors"))
    found = need(place, trials)
    assert found.kept == found.last == pytest.approx(weights, rel=0.1)
    n_values = 0
    for trial in trials:
        table = pq.read_table(runs.path / "predictions" / trial.id / f"{trial.rois[0].id}.parquet")
        columns = [name for name in ("nested", "clean") if name in table.column_names]
        n_values += sum(len(np.concatenate(table[name].to_pylist())) for name in columns)
    assert found.predictions == 2 * n_values > 0
    assert need(place, trials, keep_predictions=False).predictions == 0


@pytest.mark.parametrize(("keep", "copies"), [("none", 1), ("last", 1), ("best", 2), ("every", 2)])
def test_a_training_is_counted_once_with_the_epochs_that_are_kept(place, keep, copies) -> None:
    trial = place.trial(VALIDATED)  # of two epochs
    other = replace(trial, encoding=replace(trial.encoding, n_folds=4))
    assert other.training_id == trial.training_id
    found = need(place, [trial, other], keep)
    assert found.kept == copies * found.last
    alone = need(place, [trial], keep)
    assert found.last == alone.last
    assert alone.kept == (found.kept if keep != "none" else 0)
    assert found.unfinished == 4 * found.last
    assert found.n_trainings == 1


NEED = DiskNeed(100 * GIB, kept=200 * GIB, unfinished=GIB, predictions=10 * GIB, n_trainings=9)
SHARED = DiskNeed(GIB, kept=GIB, unfinished=GIB, predictions=0, n_trainings=3)


@pytest.mark.parametrize(
    ("need", "free", "expected"),
    [
        (
            NEED,
            220,
            [
                "disk: about 200.0 GiB of weights (--keep best) and 10.0 GiB of predictions in "
                "runs, where 220.0 GiB are free"
            ],
        ),
        (
            NEED,
            212,
            [
                "disk: about 200.0 GiB of weights (--keep best) and 10.0 GiB of predictions in "
                "runs, where 212.0 GiB are free",
                "the disk is too small: 214.0 GiB are needed while the last trials run; --keep "
                "last keeps 100.0 GiB of weights; --keep none keeps no weights, only scores; "
                "--no-predictions keeps no predictions",
            ],
        ),
        (DiskNeed(0, 0, 0, 0, 0), 0, []),
    ],
)
def test_the_space_is_described_with_the_cure_where_it_is_short(
    monkeypatch, need, free, expected
) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda directory: free * GIB)
    assert need.describe(RunDirectory.open("runs"), "best", n_at_once=4) == expected


def test_no_more_trainings_are_counted_at_once_than_there_are(monkeypatch) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda directory: 4 * GIB)
    [line] = SHARED.describe(RunDirectory.open("runs"), "none", n_at_once=500)
    assert line == (
        "disk: about 1.0 GiB of weights (--keep none, until all trials that share them have ended) "
        "in runs, where 4.0 GiB are free"
    )
