"""Which pairs of a model and an ROI are evaluated: by kind, by choice, less what can't be known."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.evaluate.pairs import (
    Choice,
    Models,
    Pairing,
    baselines,
    choose,
    evaluations,
    find_models,
    is_any,
    is_onto_nod,
    is_pooled,
    is_transfer,
    pair_notes,
    with_weights,
)
from orchestrator.execution.plan import Plan
from tests.builders.transfer_shards import NOD_ROIS, weights_on, write_subjects
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import list_rois
from trainables.results.outcome import Outcome, Status
from trainables.results.run_directory import RunDirectory
from trainables.spec import (
    Backbone,
    Contrastive,
    Encoding,
    Objective,
    Pooled,
    Regression,
    Roi,
    Trial,
    Untuned,
)
from trainables.spec.setting import setting_of

BACKBONE = Backbone("alexnet")
ENCODING = Encoding(layers=("features.2",))


def a_roi(subject: int, roi_name: str = "V1v", hemisphere: str = "lh", dataset: str = "nsd") -> Roi:
    name = f"subj{subject:02d}" if dataset == "nsd" else f"sub-{subject:02d}"
    return Roi(dataset, name, hemisphere, roi_name, 20, f"data{subject}")


ROIS = [
    a_roi(subject, roi_name, side)
    for subject in (1, 2, 3)
    for roi_name, side in (("V1v", "lh"), ("V1v", "rh"), ("EBA", "lh"))
    if (subject, roi_name) != (3, "EBA")
]
NOD_SUBJECT_ROIS = [
    a_roi(1, roi_name, side, "nod") for roi_name in ("V1", "V4") for side in ("lh", "rh")
]


def a_trial(objective: Objective, *rois: Roi) -> Trial:
    return Trial(objective, rois, BACKBONE, ENCODING)


SINGLE = [a_trial(Contrastive(), roi) for roi in ROIS]
POOL = a_trial(Pooled(), a_roi(1), a_roi(2))


def pairs(models: list[Trial], pairing: Pairing, rois: list[Roi], **more: bool) -> set[str]:
    found = evaluations(
        models, rois, pairing, exclude_training_images=more.get("exclude_training_images", False)
    )
    return {f"{one.model.trained_on} > {roi.id}" for one in found for roi in one.rois}


def test_transfer_pairs_each_model_with_its_region_in_every_other_subject() -> None:
    found = pairs([*SINGLE, POOL], is_transfer, [*ROIS, *NOD_SUBJECT_ROIS])
    v1 = [(m, t, side) for m in (1, 2, 3) for t in (1, 2, 3) for side in ("lh", "rh") if m != t]
    assert found == {
        *(f"nsd-subj0{m}-{side}-V1v > nsd-subj0{t}-{side}-V1v" for m, t, side in v1),
        "nsd-subj01-lh-EBA > nsd-subj02-lh-EBA",  # subject 3 has none
        "nsd-subj02-lh-EBA > nsd-subj01-lh-EBA",
    }


def test_nod_pairs_models_with_the_areas_that_their_rois_stand_for() -> None:
    assert pairs(SINGLE[:3], is_onto_nod, [*ROIS, *NOD_SUBJECT_ROIS]) == {
        "nsd-subj01-lh-V1v > nod-sub-01-lh-V1",
        "nsd-subj01-rh-V1v > nod-sub-01-rh-V1",
    }


def test_pooled_models_are_scored_outside_their_pool_alone() -> None:
    assert pairs([POOL, *SINGLE], is_pooled, ROIS) == {f"{POOL.trained_on} > nsd-subj03-lh-V1v"}


def test_pooled_models_are_scored_in_their_pool_too_without_what_they_have_seen() -> None:
    found = pairs([POOL], is_pooled, ROIS, exclude_training_images=True)
    assert found == {f"{POOL.trained_on} > nsd-subj0{t}-lh-V1v" for t in (1, 2, 3)}


def test_any_rois_are_scored_but_for_a_model_s_own_in_one_evaluation_a_subject() -> None:
    found = evaluations(SINGLE[:1], ROIS, is_any, exclude_training_images=True)
    assert [(one.shards, len(one.rois)) for one in found] == [
        (("nsd-subj01",), 2),
        (("nsd-subj02",), 3),
        (("nsd-subj03",), 2),
    ]


def test_the_untuned_baseline_is_one_trial_a_subject_and_encoding() -> None:
    found = evaluations(SINGLE[:3], NOD_SUBJECT_ROIS, is_onto_nod, exclude_training_images=False)
    [untuned] = baselines(found)
    assert isinstance(untuned.objective, Untuned)
    assert [roi.id for roi in untuned.rois] == ["nod-sub-01-lh-V1", "nod-sub-01-rh-V1"]


def record(runs: Path, trial: Trial, status: Status = "finished") -> Trial:
    Outcome(trial, status, "", "cpu", 1.0, {"finetuning": 1.0}).write(RunDirectory(runs))
    return trial


def test_finished_finetuned_trials_of_the_data_at_hand_are_models(tmp_path) -> None:
    kept = [record(tmp_path, SINGLE[0]), record(tmp_path, POOL)]
    record(tmp_path, a_trial(Untuned(), *ROIS[:2]))
    record(tmp_path, SINGLE[1], "failed")
    record(tmp_path, SINGLE[2], "stopped")
    record(tmp_path, a_trial(Contrastive(), Roi("nsd", "subj01", "lh", "V1v", 20, "older")))
    found = find_models(RunDirectory(tmp_path), ROIS)
    assert set(found.trials) == set(kept)
    assert found.n_without_data == 1


def test_a_sweep_s_directory_without_models_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="has no finished fine-tuned trial; run python -m"):
        find_models(RunDirectory(tmp_path), ROIS)
    record(tmp_path, SINGLE[0])
    with pytest.raises(
        InputError, match="none of its 1 fine-tuned trials was fine-tuned on the given data"
    ):
        find_models(RunDirectory(tmp_path), NOD_SUBJECT_ROIS)


@pytest.mark.parametrize(
    ("choice", "n_kept"),
    [
        (Choice(), 10),
        (Choice(methods=("contrastive",)), 8),
        (Choice(methods=("contrastive", "regression")), 9),
        (Choice(subjects=(1,)), 4),
        (Choice(subjects=(1, 2)), 8),
        (Choice(names=("contrastive-nsd-subj02",)), 3),
        (Choice(names=("contrastive-nsd-subj02", "pooled")), 4),
        (Choice(names=(setting_of(SINGLE[0]).digest,)), 8),
    ],
)
def test_models_are_chosen_by_method_subject_name_and_setting(choice, n_kept) -> None:
    models = [*SINGLE, POOL, a_trial(Regression(), ROIS[0])]
    assert len(choose(models, choice)) == n_kept


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(names=("absent",)), "--models absent: no such model; there are contrastive-nsd"),
        (Choice(methods=("regression",)), "no finished regression trial among the models, which"),
        (Choice(subjects=(4,)), "--model-subjects 4: .* there are models of subj01, subj02"),
    ],
)
def test_a_choice_of_nothing_is_reported_with_what_there_is(choice, message) -> None:
    with pytest.raises(InputError, match=message):
        choose(SINGLE, choice)


def test_models_without_weights_are_left_out_unless_no_evaluation_is_left(tmp_path) -> None:
    first, second, done = evaluations(SINGLE[:3], ROIS, is_any, exclude_training_images=False)[::3]
    assert len({one.training_id for one in (first, second, done)}) == 3
    runs, plan = RunDirectory(tmp_path), Plan((first, second, done), (first, second), ("a note",))
    with pytest.raises(InputError, match="nothing to evaluate: chosen 2 models, and"):
        with_weights(Plan((first, second), (first, second)), runs)
    kept = runs.checkpoints(second.training_id).path
    kept.mkdir(parents=True)
    (kept / "last.json").touch()
    found = with_weights(plan, runs)
    assert (found.trials, found.waiting) == ((second, done), (second,))
    assert found.notes[0] == "a note"
    assert found.notes[1].startswith(f"left out: 1 model, as {tmp_path / 'checkpoints'} has no")
    (runs.checkpoints(first.training_id).path).mkdir()
    (runs.checkpoints(first.training_id).path / "last.json").touch()
    assert with_weights(plan, runs) == plan


Notes = Callable[[bool], tuple[str, ...]]


@pytest.fixture
def notes(tmp_path) -> Notes:
    """Count the pairs of two subjects, of whom one was trained on ten of the other's images."""
    data = tmp_path / "data"
    own = weights_on(range(4))
    write_subjects(
        data,
        {"subj01": own, "subj02": own},
        {"subj01": (range(40), range(40, 60)), "subj02": (range(100, 140), range(30, 50))},
    )
    write_subjects(
        data, {"sub-01": own}, {"sub-01": (range(200, 240), range(240, 260))}, "nod", NOD_ROIS
    )
    rois = [
        roi
        for roi in list_rois(DataDirectory(data))
        if roi.name == "V1v" and roi.hemisphere == "lh"
    ]
    models = Models(tuple(a_trial(Contrastive(), roi) for roi in rois), 2)

    def count(exclude_training_images: bool) -> tuple[str, ...]:
        found = evaluations(
            models.trials, rois, is_transfer, exclude_training_images=exclude_training_images
        )
        plan = Plan(tuple(found), tuple(found))
        return pair_notes(plan, models, DataDirectory(data))

    return count


def test_a_plan_reports_how_many_pairs_have_seen_test_images(notes) -> None:
    counted, seen, left_out = notes(False)
    assert counted == "2 pairs of a model and an ROI: 0 done"
    assert seen.startswith("1 of 2 pairs have test images that the model was trained on, at most")
    assert "10 of 20; --exclude-training-images scores without them" in seen
    assert left_out.startswith("left out: 2 models, as the data of the fine-tuning is not in")
    assert notes(True)[1].endswith("r leaves these out")
