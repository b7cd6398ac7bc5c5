"""Trials that share a training, or whose training is complete, do not take its time again."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.execution import work_left
from orchestrator.execution.cost import Costs
from orchestrator.execution.work_left import seconds_of
from tests.orchestrator.execution.test_cost import ROI, TRIAL, manifest
from trainables.results.run_directory import RunDirectory
from trainables.spec import Encoding, Regression, Trial, Untuned

FOLDS = Encoding(n_folds=4)
SHARING = replace(TRIAL, encoding=FOLDS)
OTHER = Trial(Regression(), (ROI,))
UNTUNED = Trial(Untuned(), (ROI,))
COSTS = Costs({"nsd-subj01": manifest()}, scale=3.0)


def seconds(trial: Trial) -> float:
    return COSTS.estimate(trial).seconds


def test_the_first_of_the_trials_that_share_a_training_has_its_time(tmp_path: Path) -> None:
    waiting = (TRIAL, OTHER, SHARING, UNTUNED)
    assert seconds_of(waiting, COSTS, RunDirectory(tmp_path)) == pytest.approx(
        {
            TRIAL.id: seconds(TRIAL),
            OTHER.id: seconds(OTHER),
            SHARING.id: seconds(replace(UNTUNED, encoding=FOLDS)),  # a pass and the encoding
            UNTUNED.id: seconds(UNTUNED),
        }
    )
    assert list(seconds_of(waiting, COSTS, RunDirectory(tmp_path))) == [one.id for one in waiting]


def test_a_training_that_is_complete_takes_no_time(tmp_path: Path, monkeypatch) -> None:
    trained = RunDirectory(tmp_path).checkpoints(TRIAL.training_id)
    monkeypatch.setattr(work_left, "is_complete", lambda directory: directory == trained)
    found = seconds_of((TRIAL, OTHER), COSTS, RunDirectory(tmp_path))
    assert found == pytest.approx({TRIAL.id: seconds(UNTUNED), OTHER.id: seconds(OTHER)})
