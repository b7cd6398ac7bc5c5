"""The weights that --keep none removes: of trainings that a command makes, when none needs them."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.execution.plan import Plan
from orchestrator.execution.settings import Locations, RunSettings, TrialOptions
from orchestrator.execution.setup import run_context_of
from orchestrator.execution.unkept_weights import removing_unkept
from tests.builders.tiny_runs import CPU, Listener, place, without_ray
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec import Trial
from trainables.training.checkpoint_notes import LAST, Keep
from trainables.worker.runner import TrialRunner

__all__ = ["place", "without_ray"]
pytestmark = pytest.mark.usefixtures("without_ray")


class Killed(Listener):
    """Ends the process at a stage, as a signal does."""

    def stage(self, name: str) -> None:
        if name == self.stop_at:
            raise KeyboardInterrupt


def sharing(place) -> tuple[Trial, Trial]:
    """Return two trials that score the backbone of one training."""
    trial = place.trial()
    other = replace(trial, encoding=replace(trial.encoding, n_folds=4))
    assert (other.training_id, other.id != trial.id) == (trial.training_id, True)
    return trial, other


def run(place, *trials: Trial, keep: Keep = "none", ending: Listener | None = None) -> list[bool]:
    """Run trials as one command; return whether the first's weights are there after each."""
    locations = Locations(
        DataDirectory(place.home / "data"),
        RunDirectory(place.home / "runs"),
        place.home / "weights.pt",
    )
    settings = RunSettings(locations, options=TrialOptions(keep=keep), local=True)
    there = []
    with removing_unkept(settings, Plan(trials, trials)) as changed:
        runner = TrialRunner(run_context_of(changed), CPU)
        for trial in trials:
            runner.run(trial, ending if ending and trial is trials[-1] else Listener())
            there.append(weights(place, trials[0]).exists())
    return there


def weights(place, trial: Trial) -> Path:
    return RunDirectory(place.home / "runs").checkpoints(trial.training_id).path


def test_weights_that_were_complete_before_the_command_stay(place) -> None:
    first, second = sharing(place)
    run(place, first, keep="best")
    before = {path.name: path.stat().st_mtime_ns for path in weights(place, first).iterdir()}
    run(place, second)
    assert {p.name: p.stat().st_mtime_ns for p in weights(place, first).iterdir()} == before


def test_the_weights_of_one_trial_are_removed_as_it_ends(place) -> None:
    assert run(place, place.trial()) == [False]


def test_a_training_that_was_interrupted_is_continued_and_removed(place) -> None:
    trial, listener = place.trial(), Listener()
    run(place, trial, keep="best", ending=Listener(stop_after=1))
    RunDirectory(place.home / "runs").outcome_file(trial.id).unlink()
    assert run(place, trial, ending=listener) == [False]
    assert [report.epoch for report in listener.epochs] == [2]


def test_weights_that_trials_share_are_trained_once_and_removed_after_the_last(place) -> None:
    first, second = sharing(place)
    listener = Listener()
    assert run(place, first, second, ending=listener) == [True, True]
    assert listener.epochs == []
    assert not weights(place, first).exists()


def test_shared_weights_stay_for_a_trial_that_has_not_ended(place) -> None:
    first, second = sharing(place)
    with pytest.raises(KeyboardInterrupt):
        run(place, first, second, ending=Killed(stop_at="reading"))
    assert (weights(place, first) / LAST).exists()
