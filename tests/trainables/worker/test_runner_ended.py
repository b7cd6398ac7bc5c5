"""Trials that were interrupted between their files, and trials that had already ended."""

from pathlib import Path

import pytest

from tests.builders.tiny_runs import CONTRASTIVE, Listener, Place
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Trial

pytestmark = pytest.mark.usefixtures("without_ray")


def score_files(place: Place, trial: Trial) -> dict[Path, tuple[int, bytes]]:
    """Map a trial's score files to when they were written, and their content."""
    files = RunDirectory(place.home / "runs").score_files(trial.id)
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_scores_without_an_outcome_are_completed_and_not_computed_again(place) -> None:
    trial, runs = place.trial(CONTRASTIVE), RunDirectory(place.home / "runs")
    first = place.runner().run(trial, Listener())
    before = score_files(place, trial)
    runs.outcome_file(trial.id).unlink()  # killed between the two
    listener = Listener()
    again = place.runner().run(trial, listener)
    assert listener.stages == ["reading", "finetuning"]
    assert listener.epochs == []
    assert score_files(place, trial) == before
    assert (again.status, again.history) == ("finished", first.history)
    assert Outcome.read(runs, trial.id) == again


@pytest.mark.parametrize("of", ["finetuned", "untuned", "search"])
def test_a_trial_that_has_ended_keeps_its_outcome(place, of) -> None:
    trial = {
        "finetuned": place.trial(CONTRASTIVE),
        "untuned": place.untuned(0, 1),
        "search": Trial(CONTRASTIVE, (place.rois[0],), place.backbone, encoding=None),
    }[of]
    first = place.runner().run(trial, Listener())
    listener = Listener()  # its worker was killed before it could say so, and is back
    assert place.runner().run(trial, listener) == first
    assert listener.stages == []


def test_a_trial_that_was_stopped_is_not_trained_again(place) -> None:
    trial = Trial(CONTRASTIVE, (place.rois[0],), place.backbone, encoding=None)
    first = place.runner(of_search=True).run(trial, Listener(stop_after=1))
    assert first.status == "stopped"
    listener = Listener()
    assert place.runner(of_search=True).run(trial, listener) == first
    assert listener.epochs == []


@pytest.mark.parametrize("damage", [b"", None])
def test_a_finished_trial_that_has_lost_a_score_file_is_scored_whole(place, damage) -> None:
    trial = place.untuned(0, 1, 3)
    place.runner().run(trial, Listener())
    before = score_files(place, trial)
    lost = next(iter(before))
    if damage is None:
        lost.unlink()
    else:
        lost.write_bytes(damage)
    listener = Listener()
    place.runner().run(trial, listener)
    assert listener.stages == ["reading", "features", "encoding"]
    after = score_files(place, trial)
    assert {path: content for path, (_, content) in after.items()} == {
        path: content for path, (_, content) in before.items()
    }
    assert all(after[path][0] != before[path][0] for path in before)  # each is written again


def test_a_pooled_trial_scores_a_subject_again_whose_file_is_damaged(place) -> None:
    trial, runs = place.pooled(), RunDirectory(place.home / "runs")
    place.runner().run(trial, Listener())
    before = score_files(place, trial)
    kept, damaged = before
    damaged.write_bytes(b"PAR1")
    runs.outcome_file(trial.id).unlink()
    place.runner().run(trial, Listener())
    after = score_files(place, trial)
    assert after[kept] == before[kept]
    assert after[damaged][1] == before[damaged][1]


def test_an_interrupted_trial_has_scores_of_one_pass(place) -> None:
    """Rounding depends on the size of a product: part of the ROIs would differ in a digit."""
    trial = place.untuned(0, 1, 3)
    place.runner("whole").run(trial, Listener())
    place.runner().run(place.untuned(1), Listener())  # one ROI has its scores
    RunDirectory(place.home / "runs").outcome_file(trial.id).unlink()
    place.runner().run(trial, Listener())
    whole = RunDirectory(place.home / "whole").score_files(trial.id)
    cut = RunDirectory(place.home / "runs").score_files(trial.id)
    assert [path.read_bytes() for path in cut] == [path.read_bytes() for path in whole]
