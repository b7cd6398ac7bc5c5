"""Planning: what is left to run, and in what order."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.execution.plan import make_plan, with_strangers
from orchestrator.sweep.spaces import expand
from tests.builders.planned_rois import ALL_ROIS, COSTS, rois, three_methods
from trainables.exceptions import Denied
from trainables.results import complete_scores
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import SCORE_SCHEMA, describe_scores
from trainables.spec import (
    Contrastive,
    Pooled,
    Roi,
    Trial,
)
from trainables.storage.atomic import write_parquet


def score(runs: Path, trial: Trial, roi: Roi) -> None:
    table = SCORE_SCHEMA.empty_table().replace_schema_metadata(describe_scores(trial, "1"))
    write_parquet(RunDirectory(runs).score_file(trial.id, roi.id), table)


def end(runs: Path, trial: Trial, status: str) -> None:
    Outcome(trial, status, "host", "cpu", 0.0, {}).write(RunDirectory(runs))


def test_scores_that_this_user_may_not_read_are_not_made_again(tmp_path, monkeypatch) -> None:
    trials = expand(three_methods, ALL_ROIS, None)[:1]
    score(tmp_path, trials[0], trials[0].rois[0])

    def refuse(path: Path, columns: list[str]) -> None:
        raise Denied(f"{path}: this user may not read it")

    monkeypatch.setattr(complete_scores, "read_score_columns", refuse)
    with pytest.raises(Denied):
        make_plan(trials, RunDirectory(tmp_path), COSTS)


def test_planning_twice_gives_the_same_trials_in_the_same_order(tmp_path) -> None:
    first, second = (
        make_plan(expand(three_methods, ALL_ROIS, None), RunDirectory(tmp_path), COSTS)
        for _ in range(2)
    )
    assert [trial.id for trial in first.waiting] == [trial.id for trial in second.waiting]
    assert first == second


def test_the_order_does_not_depend_on_the_order_of_the_space(tmp_path) -> None:
    trials = expand(three_methods, ALL_ROIS, None)
    first, second = (
        make_plan(t, RunDirectory(tmp_path), COSTS).waiting for t in (trials, trials[::-1])
    )
    assert [trial.id for trial in first] == [trial.id for trial in second]


def test_trials_run_subject_by_subject_and_the_longest_first(tmp_path) -> None:
    plan = make_plan(
        expand(three_methods, rois(2, "subj02") + rois(2), None), RunDirectory(tmp_path), COSTS
    )
    assert [(*trial.shards, trial.method) for trial in plan.waiting] == [
        (shard, method)
        for shard in ("nsd-subj01", "nsd-subj02")
        for method in ("regression", "regression", "contrastive", "contrastive", "untuned")
    ]


def test_trials_of_several_subjects_run_first_and_wait_whole(tmp_path) -> None:
    alike = (rois(1)[0], rois(1, "subj02")[0])
    pooled = Trial(Pooled(), alike)
    trials = [*expand(three_methods, alike, None), pooled]
    score(tmp_path, pooled, alike[0])
    waiting = make_plan(trials, RunDirectory(tmp_path), COSTS).waiting
    assert waiting[0] == pooled
    assert [trial.shards[0] for trial in waiting[1:]] == ["nsd-subj01"] * 3 + ["nsd-subj02"] * 3


def test_a_trial_with_its_scores_and_a_finished_outcome_is_done(tmp_path) -> None:
    trials = expand(three_methods, rois(2), None)
    done = trials[1]
    score(tmp_path, done, done.rois[0])
    end(tmp_path, done, "finished")
    plan = make_plan(trials, RunDirectory(tmp_path), COSTS)
    assert {trial.id for trial in plan.waiting} == {t.id for t in trials} - {done.id}
    assert plan.n_done == 1
    assert len(plan.trials) == 5


@pytest.mark.parametrize("status", [None, "failed"])
def test_scores_without_a_finished_outcome_are_not_done(tmp_path, status) -> None:
    trials = expand(three_methods, rois(2), None)
    for trial in trials:
        for roi in trial.rois:
            score(tmp_path, trial, roi)
        if status is not None:
            end(tmp_path, trial, status)
    plan = make_plan(trials, RunDirectory(tmp_path), COSTS)
    assert plan.n_done == 0
    assert {trial.id: trial for trial in plan.waiting} == {trial.id: trial for trial in trials}


def waiting_untuned(runs: Path) -> tuple[Roi, ...]:
    waiting = make_plan(expand(three_methods, rois(3), None), RunDirectory(runs), COSTS).waiting
    return next(trial for trial in waiting if trial.method == "untuned").rois


def test_rois_that_are_added_to_an_ended_untuned_trial_are_scored_alone(tmp_path) -> None:
    [untuned, *_] = expand(three_methods, rois(3), None)
    score(tmp_path, untuned, rois(3)[1])
    end(tmp_path, untuned.scoring(rois(3)[1:2]), "finished")
    assert waiting_untuned(tmp_path) == (rois(3)[0], rois(3)[2])


def test_an_untuned_trial_that_was_cut_or_lost_scores_is_scored_whole(tmp_path) -> None:
    [untuned, *_] = expand(three_methods, rois(3), None)
    score(tmp_path, untuned, rois(3)[1])
    assert waiting_untuned(tmp_path) == tuple(rois(3))
    score(tmp_path, untuned, rois(3)[2])
    end(tmp_path, untuned, "finished")
    assert waiting_untuned(tmp_path) == tuple(rois(3))


def test_scores_of_another_trial_on_the_same_roi_do_not_count(tmp_path) -> None:
    trials = expand(three_methods, rois(1), None)
    score(tmp_path, replace(trials[1], seed=9), rois(1)[0])
    assert len(make_plan(trials, RunDirectory(tmp_path), COSTS).waiting) == 3


def test_a_damaged_score_file_is_named_and_its_roi_scored_again(tmp_path) -> None:
    trials = expand(three_methods, rois(2), None)
    for trial in trials:
        for roi in trial.rois:
            score(tmp_path, trial, roi)
        end(tmp_path, trial, "finished")
    [finetuned, *_] = [trial for trial in trials if trial.method == "contrastive"]
    path = RunDirectory(tmp_path).score_file(finetuned.id, finetuned.rois[0].id)
    path.write_bytes(path.read_bytes()[:-9])
    plan = make_plan(trials, RunDirectory(tmp_path), COSTS)
    assert [trial.id for trial in plan.waiting] == [finetuned.id]
    assert plan.notes == (f"{path}: damaged; it is scored again",)


def test_when_all_is_scored_nothing_waits(tmp_path) -> None:
    trials = expand(three_methods, rois(2), None)
    for trial in trials:
        for roi in trial.rois:
            score(tmp_path, trial, roi)
        end(tmp_path, trial, "finished")
    plan = make_plan(trials, RunDirectory(tmp_path), COSTS)
    assert plan.waiting == ()
    assert plan.n_done == len(plan.trials)


def test_files_that_no_record_lists_are_named_beside_the_notes_of_a_plan(tmp_path) -> None:
    runs = RunDirectory(tmp_path)
    trials = expand(three_methods, rois(1), None)
    score(tmp_path, trials[0], trials[0].rois[0])
    plan = replace(make_plan(trials, runs, COSTS), notes=("a note",))
    assert with_strangers(plan, runs) == plan
    (runs.all_scores / "x copy").mkdir()
    [note, left_out] = with_strangers(plan, runs).notes
    assert note == "a note"
    assert left_out.endswith("x copy")


@pytest.mark.parametrize(("status", "waits"), [("failed", True), ("stopped", False)])
def test_a_failed_trial_is_planned_again_and_a_stopped_one_is_not(tmp_path, status, waits) -> None:
    trials = expand(three_methods, rois(1), None)
    end(tmp_path, trials[2], status)
    assert (trials[2] in make_plan(trials, RunDirectory(tmp_path), COSTS).waiting) is waits


def test_a_finished_outcome_without_its_scores_is_planned_again(tmp_path) -> None:
    trials = expand(three_methods, rois(1), None)
    end(tmp_path, trials[2], "finished")
    assert trials[2] in make_plan(trials, RunDirectory(tmp_path), COSTS).waiting


def test_a_damaged_outcome_is_reported_by_name(tmp_path) -> None:
    trials = expand(three_methods, rois(1), None)
    end(tmp_path, trials[2], "finished")
    RunDirectory(tmp_path).outcome_file(trials[2].id).write_text("{")
    with pytest.raises(ValueError, match=f"{trials[2].id}.json: not JSON"):
        make_plan(trials, RunDirectory(tmp_path), COSTS)


def test_a_trial_that_is_not_encoded_is_done_when_it_has_ended(tmp_path) -> None:
    trial = Trial(Contrastive(validation=0.1), (rois(1)[0],), encoding=None)
    assert make_plan([trial], RunDirectory(tmp_path), COSTS).waiting == (trial,)
    end(tmp_path, trial, "finished")
    assert make_plan([trial], RunDirectory(tmp_path), COSTS).waiting == ()
    end(tmp_path, trial, "failed")
    assert make_plan([trial], RunDirectory(tmp_path), COSTS).waiting == (trial,)
